"""`manage.py pause_jobs`: pause jobs with a reason, from the console (beyond.md, section 3)."""

from argparse import ArgumentParser

from jobs.management.acting import EXIT_CODES, BulkCommand, add_jobs
from jobs.models import OnResume


class Command(BulkCommand):
    action = "pause"
    sends = ("reason", "until", "on_resume")
    help = "Pause jobs, and print how exactly these are resumed." + EXIT_CODES

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_jobs(parser)
        parser.add_argument("--reason", default="", help="Why; shown with the job, and kept in the audit trail.")
        parser.add_argument("--until", metavar="INSTANT", help="Resume by themselves then. ISO 8601.")
        parser.add_argument(
            "--on-resume",
            choices=OnResume.values,
            default="",
            help="What becomes of the runs kept back. Default: skip.",
        )
