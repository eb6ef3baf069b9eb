"""`manage.py resume_jobs`: end pauses, from the console (beyond.md, section 3)."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from jobs.management.acting import EXIT_CODES, ActingCommand, add_jobs, carry_out, chosen
from jobs.models import OnResume


class Command(ActingCommand):
    help = "Resume jobs: those named, or exactly those that one pause_jobs has paused." + EXIT_CODES

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_jobs(parser)
        parser.add_argument("--batch", metavar="ID", help="The id that pause_jobs printed.")
        parser.add_argument("--reason", default="", help="Why; kept in the audit trail.")
        parser.add_argument(
            "--missed",
            choices=OnResume.values,
            default="",
            help="What becomes of the runs kept back. Default: as the pause says.",
        )

    def act(self, now: datetime, options: dict[str, Any]) -> None:
        sent = {"action": "resume", **chosen(options), "batch_id": options["batch"]}
        sent |= {name: options[name] for name in ("reason", "missed")}
        carry_out(self, sent, now=now, as_json=options["json"])
