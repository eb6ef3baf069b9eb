"""No record of statements in development.

With `DEBUG` Django keeps the last 9,000 statements of a connection, until a request begins: never, in a scheduler or a
command. Ours carry whole batches of rows, so that a process came to hold hundreds of megabytes for nothing.
"""


class NoQueryLog:
    """For a connection: keeps statements only where a test counts them."""

    force_debug_cursor: bool

    @property
    def queries_logged(self) -> bool:
        return self.force_debug_cursor
