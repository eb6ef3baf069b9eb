"""`manage.py resume_jobs`: end pauses, from the console (beyond.md, section 3)."""

from argparse import ArgumentParser

from jobs.management.acting import EXIT_CODES, BulkCommand, add_jobs
from jobs.models import OnResume


class Command(BulkCommand):
    action = "resume"
    sends = ("batch_id", "reason", "missed")
    help = "Resume jobs: those named, or exactly those that one pause_jobs has paused." + EXIT_CODES

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_jobs(parser)
        parser.add_argument("--batch", dest="batch_id", metavar="ID", help="The id that pause_jobs printed.")
        parser.add_argument("--reason", default="", help="Why; kept in the audit trail.")
        parser.add_argument(
            "--missed",
            choices=OnResume.values,
            default="",
            help="What becomes of the runs kept back. Default: as the pause says.",
        )
