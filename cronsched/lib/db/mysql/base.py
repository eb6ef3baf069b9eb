"""Django's backend for MariaDB and MySQL."""

from django.db.backends.mysql import base

from cronsched.lib.db.query_log import NoQueryLog


class DatabaseWrapper(NoQueryLog, base.DatabaseWrapper):
    """A thread's connection."""
