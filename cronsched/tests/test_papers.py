"""What the papers refer to is there: files behind links, sections behind numbers, modules and tests behind names."""

import re
from collections.abc import Iterator
from pathlib import Path

from audit.actions import ACTIONS
from cronsched.tests.test_architecture import APPS, ROOT

CONTRACT = ROOT / "docs" / "contract"
LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)|!\[[^\]\n]*\]\(([^)\s]+)\)")
# "contract, section 4", "contract, sections 8 to 10", also over the end of a line.
SECTIONS = re.compile(r"contract(?:'s words)?,?\s+\(?sections?\s+((?:\d+|\s|,|and|to)+)", re.IGNORECASE)
# A path of the project in backquotes, as the papers write it.
PLACE = re.compile(rf"`((?:{'|'.join(APPS)}|docs|scripts)/[\w./-]*)`")

# A command of the project, in backquotes or in a line of its own within a block.
MAKE = re.compile(r"(?:`|^)make ([a-z][a-z-]*)", re.MULTILINE)


def papers() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def sources() -> Iterator[Path]:
    for app in APPS:
        yield from (path for path in sorted((ROOT / app).rglob("*.py")) if "migrations" not in path.parts)
    yield from papers()
    yield from sorted((ROOT / "templates").rglob("*.html"))


def slug(heading: str) -> str:
    """Return the anchor that a heading gets where Markdown is shown."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    return {slug(line.lstrip("#")) for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")}


def broken_links(path: Path) -> list[str]:
    broken = []
    for match in LINK.finditer(path.read_text(encoding="utf-8")):
        target = match[1] or match[2]
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(f"{path.name}: {target}")
    return broken


def sections_named(text: str) -> set[int]:
    # Comments and docstrings go on in the next line.
    text = re.sub(r"\n\s*(?:#|\*)?\s*", " ", text)
    found: set[int] = set()
    for match in SECTIONS.finditer(text):
        for first, last in re.findall(r"(\d+)(?:\s+to\s+(\d+))?", match[1]):
            found |= set(range(int(first), int(last or first) + 1))
    return found


def test_every_relative_link_leads_somewhere():
    assert [line for path in papers() for line in broken_links(path)] == []


def test_every_section_of_the_contract_that_is_named_is_there():
    headings = (CONTRACT / "api.md").read_text(encoding="utf-8")
    known = {int(number) for number in re.findall(r"^## (\d+) ", headings, re.MULTILINE)}
    named = {path: sections_named(path.read_text(encoding="utf-8")) for path in sources()}
    assert {path.name: sorted(numbers - known) for path, numbers in named.items() if numbers - known} == {}
    assert len(set().union(*named.values())) > 10


def test_every_place_that_the_papers_name_is_there():
    named = [
        (path.name, place)
        for path in papers()
        if path.name != "CHANGELOG.md" and path.parent != CONTRACT
        for place in PLACE.findall(path.read_text(encoding="utf-8"))
    ]
    assert [(name, place) for name, place in named if not list(ROOT.glob(place.rstrip("/") + "*"))] == []


def test_a_reference_over_a_line_and_a_range_are_read():
    assert sections_named("Refused as it says (contract,\n    # sections 6 and 8 to 10). Then section 99.") == {
        6,
        8,
        9,
        10,
    }


def test_a_link_into_nothing_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A heading\n[good](#a-heading) [bad](#none) [gone](gone.md) [web](https://example.com)\n")
    assert broken_links(page) == ["page.md: #none", "page.md: gone.md"]


def test_every_command_of_make_that_is_named_exists():
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {(path.name, name) for path in papers() for name in MAKE.findall(path.read_text(encoding="utf-8"))}
    assert len(named) > 10
    assert {(page, name) for page, name in named if name not in known} == set()


def test_the_page_of_the_audit_trail_has_all_actions_and_no_others():
    page = (ROOT / "docs" / "audit.md").read_text()
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.+) \| ([a-z, ]+) \|$", page, re.MULTILINE)
    assert {name: (text, tuple(actors.split(", "))) for name, text, actors in rows} == dict(ACTIONS)
