"""What a process and those it has forked use, read from /proc."""

import os
from collections.abc import Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(pid: int) -> float:
    """Return the processor time of all threads of `pid` and its workers since their start."""
    return sum(_processor_seconds(member) for member in _family(pid))


def thread_seconds(thread: int) -> float:
    """Return the processor time of one thread, whose id is known, since its start."""
    return _processor_seconds(thread)


def megabytes(pid: int) -> float:
    """Return the memory of `pid` and its workers; what they share counts once."""
    return sum(_status(member, "smaps_rollup", "Pss") for member in _family(pid)) / 1024


def own_megabytes(pid: int) -> float:
    """Return the memory that `pid` and its workers have made, without the files that they share with others."""
    return sum(_status(member, "smaps_rollup", "Pss_Anon") for member in _family(pid)) / 1024


def peak_megabytes(pid: int) -> float:
    """Return the most memory that `pid` alone ever had resident."""
    return _status(pid, "status", "VmHWM") / 1024


def threads(pid: int) -> int:
    return sum(_status(member, "status", "Threads") for member in _family(pid))


def files(pid: int) -> tuple[int, int]:
    """Return how many files and sockets `pid` and its workers have open, and how many of them are sockets."""
    opened = [_target(entry) for member in _family(pid) for entry in Path(f"/proc/{member}/fd").iterdir()]
    return len(opened), sum(target.startswith("socket:") for target in opened)


def connections(pid: int, port: int) -> int:
    """Return how many TCP connections `pid` and its workers have to that port of any machine."""
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    there = {f"socket:[{row[9]}]" for row in rows if int(row[2].rpartition(":")[2], 16) == port}
    opened = (_target(entry) for member in _family(pid) for entry in Path(f"/proc/{member}/fd").iterdir())
    return sum(target in there for target in opened)


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
