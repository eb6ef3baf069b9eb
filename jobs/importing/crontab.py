"""Read a crontab: which of its lines can become jobs here, and why the others cannot.

A line becomes a job where its command is one `curl` or `wget` that calls one http(s) address, and everything it says is
something a job can say. Nothing is left out in silence: whatever is not understood keeps the whole line out.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from jobs.cron import NICKNAMES
from jobs.importing.http_commands import Call, NotUnderstood, read_call

ASSIGNMENT = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)")
VARIABLE = re.compile(r"\$(?:\{(?P<braced>[A-Za-z_]\w*)\}|(?P<plain>[A-Za-z_]\w*))")
# What only says where output goes, or that a failure does not matter to cron.
HARMLESS_TAIL = re.compile(r"\s*(?:[12&]?>{1,2}\s*(?:/dev/null|&[12])|\|\|\s*true)\s*$")
SHELL_CHARACTERS = frozenset("|&;<>()")
ZONE_VARIABLES = ("CRON_TZ", "TZ")
MAX_NAME = 200


@dataclass(frozen=True)
class Line:
    """One entry of a crontab. `problem` says why it cannot become a job; blank where `call` is what it calls."""

    number: int
    text: str
    name: str = ""
    cron_expression: str = ""
    zone: str = ""
    call: Call | None = None
    problem: str = ""


@dataclass
class _Place:
    """What the lines above say about the next one."""

    variables: dict[str, str] = field(default_factory=dict)
    comment: str = ""


def read_crontab(text: str, *, has_users: bool = False) -> Iterator[Line]:
    """Yield the entries of a crontab. With `has_users` the sixth column names a user, as in /etc/crontab."""
    place = _Place()
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line:
            place.comment = ""
        elif line.startswith("#"):
            place.comment = line.lstrip("# \t")
        elif found := ASSIGNMENT.fullmatch(line):
            place.variables[found["name"]] = _unquoted(found["value"].strip())
        else:
            yield _entry(number, line, place, has_users=has_users)
            place.comment = ""


def _entry(number: int, line: str, place: _Place, *, has_users: bool) -> Line:
    try:
        expression, command = _split(line, has_users=has_users)
        call = read_call(_words(_plain(command), place.variables))
    except NotUnderstood as error:
        return Line(number, line, problem=str(error))
    zone = next((place.variables[name] for name in ZONE_VARIABLES if place.variables.get(name)), "")
    name = place.comment or f"{call.method or 'GET'} {call.url.partition('?')[0]}"
    return Line(number, line, name[:MAX_NAME], expression, zone, call)


def _split(line: str, *, has_users: bool) -> tuple[str, str]:
    """Return the expression and the command of an entry."""
    parts = line.split(None, 1)
    if parts[0].startswith("@"):
        nickname = parts[0].lower()
        if nickname not in NICKNAMES:
            raise NotUnderstood(f"{parts[0]} is no time of day.")
        expression, rest = NICKNAMES[nickname], parts[1:]
    else:
        columns = line.split(None, 5)
        expression, rest = " ".join(columns[:5]), columns[5:]
    if has_users and rest:
        rest = rest[0].split(None, 1)[1:]
    if not rest:
        raise NotUnderstood("There is no command behind the time.")
    return expression, rest[0]


def _plain(command: str) -> str:
    """Return the command without redirections of its output, and with cron's `\\%` as `%`."""
    previous = ""
    while previous != command:
        previous, command = command, HARMLESS_TAIL.sub("", command)
    if re.search(r"(?<!\\)%", command):
        raise NotUnderstood("A % begins the command's input, which a job does not have.")
    return command.replace("\\%", "%")


def _words(command: str, variables: Mapping[str, str]) -> list[str]:
    """Return the words of a command as a shell would, refusing whatever only a shell could do."""
    if re.search(r"`|\$\(", command):
        raise NotUnderstood("It runs another command to put this one together.")
    try:
        lexer = shlex.shlex(_filled(command, variables), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError as error:
        raise NotUnderstood(f"The command cannot be read: {error}.") from None
    if found := next((word for word in words if word and set(word) <= SHELL_CHARACTERS), None):
        raise NotUnderstood(f"It needs a shell for {found!r}.")
    return words


def _filled(command: str, variables: Mapping[str, str]) -> str:
    """Return the command with the variables that the crontab sets; single quotes keep theirs."""

    def value(found: re.Match[str]) -> str:
        name = found["braced"] or found["plain"]
        if name not in variables:
            raise NotUnderstood(f"It needs the variable {name}, which the crontab does not set.")
        return variables[name]

    # Outside single quotes are the parts with even numbers.
    parts = command.split("'")
    return "'".join(VARIABLE.sub(value, part) if place % 2 == 0 else part for place, part in enumerate(parts))


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def names(lines: Sequence[Line]) -> list[str]:
    """Return a name for each entry, with a number where several have the same."""
    seen: dict[str, int] = {}
    found = []
    for line in lines:
        seen[line.name] = seen.get(line.name, 0) + 1
        found.append(line.name if seen[line.name] == 1 else f"{line.name} ({seen[line.name]})")
    return found
