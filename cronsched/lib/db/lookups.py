"""Makes lookups that ignore case do so on MariaDB and MySQL, too.

There such lookups compare as the column does, and ours tell upper from lower case. The other databases are left as they
are; SQLite ignores the case of ASCII only.
"""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import CharField, TextField
from django.db.models.functions import Lower
from django.db.models.lookups import Contains, IContains, IStartsWith, StartsWith
from django.db.models.sql.compiler import SQLCompiler


@CharField.register_lookup
@TextField.register_lookup
class ContainsInAnyCase(IContains):
    def as_mysql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        return compiler.compile(Contains(Lower(self.lhs), _lowered(self.rhs)))


@CharField.register_lookup
@TextField.register_lookup
class StartsWithInAnyCase(IStartsWith):
    def as_mysql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        return compiler.compile(StartsWith(Lower(self.lhs), _lowered(self.rhs)))


def _lowered(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else Lower(value)
