"""Which package may import which. This test reads all imports, so that the documented order stays true."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
APPS = ("accounts", "audit", "cronsched", "jobs", "notifications", "taxonomy")

# Room -> the other rooms it may import. `cronsched.lib` knows nothing of ours.
MAY_IMPORT = {
    "cronsched.lib": set[str](),
    "cronsched": {"cronsched.lib"},
    "audit": {"cronsched", "cronsched.lib"},
    "accounts": {"cronsched", "cronsched.lib", "audit"},
    "taxonomy": {"cronsched", "cronsched.lib", "audit", "accounts"},
    "notifications": {"cronsched", "cronsched.lib", "audit", "accounts"},
    "jobs": {"cronsched", "cronsched.lib", "audit", "accounts", "taxonomy", "notifications"},
}

# Inside jobs a room imports from lines above its own or from its own line, and no imports go round in a circle.
# `package.module` is a room of its own where it stands on another line than its package.
JOBS_ORDER = (
    {"calendar", "cron", "executors", "models"},
    {"definitions", "github", "history", "notices", "schedule", "targets.limits"},
    {"dispatch", "github.tracking", "scheduler.claim", "targets"},
    {"bulk_acts", "end_dates", "importing", "owners", "services"},
    {"chores", "scheduler"},
    {"admin", "api", "management"},
)
JOBS_LAYERS = {room: layer for layer, rooms in enumerate(JOBS_ORDER) for room in rooms}
WIRING = {"apps"}

# What a scheduler compares goes by the database's clock (`database_now`). These ask the host's: they show something,
# fill no row with it, compare it with a file of this host (`dispatch.dead_senders`), or measure (`executors.base`: no
# question to the database around each request).
HOST_CLOCK = re.compile(r"\b(timezone\.now|datetime\.now|datetime\.utcnow|time\.time)\(")
BY_THE_HOST = {
    *("jobs.admin.executions.filters", "jobs.admin.jobs", "jobs.admin.jobs.actions", "jobs.admin.jobs.filters"),
    *("jobs.admin.jobs.listing", "jobs.admin.jobs.overview", "jobs.admin.jobs.words", "jobs.admin.now"),
    *("jobs.api.cron_tools", "jobs.api.health", "jobs.api.jobs", "jobs.management.commands.export_jobs"),
    *("jobs.dispatch.dead_senders", "jobs.executors.base", "jobs.scheduler.claim", "jobs.scheduler.runner"),
}

MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:work|root|home|Users|opt/(?:pypi|wheels)|tmp/\w)[\w/-]*")
REGISTRY_HOST = re.compile(r"(?:--index-url|--extra-index-url|pythonhosted|pypi\.org/simple)")


def modules() -> Iterator[Path]:
    """Yield our production modules; tests may look over every wall, migrations are generated."""
    for app in APPS:
        for path in sorted((ROOT / app).rglob("*.py")):
            if not {"tests", "migrations"} & set(path.relative_to(ROOT).parts):
                yield path


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names a module imports, wherever in it and whether or not only for types."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{name}.{alias.name}" for alias in node.names)


def room(name: str) -> str | None:
    """Return the room a dotted name lies in, None if it is not ours."""
    if name == "cronsched.lib" or name.startswith("cronsched.lib."):
        return "cronsched.lib"
    first = name.partition(".")[0]
    return first if first in APPS else None


def jobs_room(name: str) -> str:
    """Return the room of jobs a dotted name lies in, an empty string for the package itself."""
    first, _, rest = name.partition(".")[2].partition(".")
    inner = f"{first}.{rest.partition('.')[0]}"
    return inner if inner in JOBS_LAYERS else first


def forbidden_arrows(name: str, imported: list[str]) -> list[str]:
    if name == "cronsched.urls":
        return []
    here = room(name)
    assert here is not None
    return [
        f"{name} imports {other}"
        for other in imported
        if (there := room(other)) and there != here and there not in MAY_IMPORT[here]
    ]


def forbidden_arrows_inside_jobs(name: str, imported: list[str]) -> list[str]:
    here = jobs_room(name)
    if here in WIRING or not here:
        return []
    theirs = [(other, jobs_room(other)) for other in imported if room(other) == "jobs"]
    return [f"{name} imports {other}" for other, there in theirs if there and JOBS_LAYERS[there] > JOBS_LAYERS[here]]


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of names that reach each other along `arrows`."""
    reach = {name: set(there) for name, there in arrows.items()}
    for middle in reach:
        for there in reach.values():
            if middle in there:
                there |= reach[middle]
    groups = {frozenset(other for other in reach[name] if name in reach.get(other, ())) for name in reach}
    return sorted(sorted(group) for group in groups if group)


def arrows_inside_jobs() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in modules():
        here = jobs_room(dotted(path))
        if room(dotted(path)) == "jobs" and here and here not in WIRING:
            theirs = {jobs_room(other) for other in imports(path) if room(other) == "jobs"}
            found.setdefault(here, set()).update(theirs - {here, ""})
    return found


def test_every_room_of_jobs_has_its_place_in_the_order():
    rooms = {jobs_room(dotted(path)) for path in modules() if room(dotted(path)) == "jobs"} - {""}
    assert rooms - WIRING == set(JOBS_LAYERS), "say in JOBS_ORDER where the new room stands"


def test_apps_import_only_along_the_arrows():
    assert [line for path in modules() for line in forbidden_arrows(dotted(path), list(imports(path)))] == []


def test_rooms_of_jobs_import_from_no_line_below_their_own():
    inside = [path for path in modules() if room(dotted(path)) == "jobs"]
    assert [line for path in inside for line in forbidden_arrows_inside_jobs(dotted(path), list(imports(path)))] == []


def test_rooms_of_jobs_import_each_other_in_no_circle():
    assert circles(arrows_inside_jobs()) == []


def test_only_what_shows_or_measures_asks_the_host_for_the_time():
    askers = {dotted(path) for path in modules() if HOST_CLOCK.search(path.read_text())}
    assert {name for name in askers if name.startswith("jobs.")} == BY_THE_HOST


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("cronsched.lib.http", "cronsched.settings"),
        ("accounts.views", "jobs.models"),
        ("notifications.services", "jobs.models.Job"),
        ("cronsched.api.errors", "accounts.models"),
    ],
)
def test_an_import_against_the_arrows_is_found(module, imported):
    assert forbidden_arrows(module, [imported, "json"]) == [f"{module} imports {imported}"]


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("jobs.models", "jobs.services"),
        ("jobs.github.client", "jobs.github.tracking.poll"),
        ("jobs.scheduler.claim", "jobs.api.filters"),
    ],
)
def test_an_import_against_the_order_inside_jobs_is_found(module, imported):
    assert forbidden_arrows_inside_jobs(module, [imported, "json"]) == [f"{module} imports {imported}"]


def test_relative_imports_are_read_like_absolute_ones(tmp_path, monkeypatch):
    module = tmp_path / "jobs" / "scheduler" / "claim.py"
    module.parent.mkdir(parents=True)
    module.write_text("from . import lease\nfrom ..models import Job\nimport jobs.cron\n")
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    assert list(imports(module)) == ["jobs.scheduler.lease", "jobs.models.Job", "jobs.cron"]


TEXT_SUFFIXES = {"", ".py", ".in", ".txt", ".md", ".html", ".toml", ".ini", ".example", ".sh", ".yml", ".yaml"}


def texts() -> Iterator[tuple[Path, str]]:
    """Yield what the project is made of and says of itself; the owner's own settings are no part of it."""
    top = [path for path in ROOT.iterdir() if path.name != ".env"]
    folders = [*APPS, "scripts", "templates", "docs", ".ci"]
    below = [path for folder in folders for path in sorted((ROOT / folder).rglob("*"))]
    for path in top + below:
        if path.is_file() and path.suffix in TEXT_SUFFIXES:
            yield path, path.read_text(encoding="utf-8")


def test_no_file_names_a_path_of_one_machine():
    assert [(path.name, match) for path, text in texts() for match in MACHINE_PATH.findall(text)] == []


def test_no_file_names_a_package_index():
    own = Path(__file__).name
    assert [path.name for path, text in texts() if path.name != own and REGISTRY_HOST.search(text)] == []
