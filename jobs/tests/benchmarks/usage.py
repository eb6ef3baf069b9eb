"""What a process and those it has forked use, read from /proc."""

import os
from collections.abc import Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(pid: int) -> float:
    """Return the processor time of all threads of `pid` and its workers since their start."""
    return sum(_processor_seconds(member) for member in _family(pid))


def megabytes(pid: int) -> float:
    """Return the memory of `pid` and its workers; what they share counts once."""
    return sum(_status(member, "smaps_rollup", "Pss") for member in _family(pid)) / 1024


def peak_megabytes(pid: int) -> float:
    """Return the most memory that `pid` alone ever had resident."""
    return _status(pid, "status", "VmHWM") / 1024


def threads(pid: int) -> int:
    return sum(_status(member, "status", "Threads") for member in _family(pid))


def files(pid: int) -> tuple[int, int]:
    """Return how many files and sockets `pid` and its workers have open, and how many of them are sockets."""
    opened = [_target(entry) for member in _family(pid) for entry in Path(f"/proc/{member}/fd").iterdir()]
    return len(opened), sum(target.startswith("socket:") for target in opened)


def _target(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except FileNotFoundError:
        # Closed meanwhile.
        return ""


def _family(pid: int) -> Iterator[int]:
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from _family(int(child))


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _status(pid: int, file: str, name: str) -> int:
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise KeyError(name)
