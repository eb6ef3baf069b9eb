"""Tell a database that cannot be asked from a statement it refuses."""

from django.db import InterfaceError, InternalError, OperationalError

# The database is away, full, locked or shutting down; asking again may do. PostgreSQL counts a server that has become
# read-only among the internal errors. What remains (bad data, a violated constraint) will be refused again.
UNREACHABLE = (OperationalError, InterfaceError, InternalError)
