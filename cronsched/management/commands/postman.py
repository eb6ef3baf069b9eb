"""Write the Postman collection of the API."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cronsched.api import documents, postman


class Command(BaseCommand):
    help = "Write the Postman collection of the API, generated from its description."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--output", type=Path, help="the file to write; standard output unless given")
        parser.add_argument("--base-url", default="http://localhost:5001", help="where the API is served")

    def handle(self, *args: Any, output: Path | None, base_url: str, **options: Any) -> None:
        collection = postman.collection(documents.description(), base_url=base_url.rstrip("/"))
        text = json.dumps(collection, indent=2, ensure_ascii=False) + "\n"
        if output is None:
            self.stdout.write(text, ending="")
            return
        try:
            output.write_text(text)
        except OSError as error:
            raise CommandError(f"{output} cannot be written: {error.strerror}") from error
        self.stderr.write(f"Wrote {output}.")
