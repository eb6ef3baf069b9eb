"""What all pages of the console share. It knows no model: the pages of each app build on it."""

from cronsched.console.admin import ConsoleAdmin
from cronsched.console.snapshot import SnapshotForm

__all__ = ["ConsoleAdmin", "SnapshotForm"]
