"""What the figures were measured on."""

import os
import platform
import sqlite3
from pathlib import Path

import django


def description() -> str:
    """Return one line about the hardware and what runs on it."""
    versions = f"Python {platform.python_version()}, Django {django.get_version()}, SQLite {sqlite3.sqlite_version}"
    return f"{os.cpu_count()} cores ({_processor()}), {_memory_gigabytes():.0f} GB, {_system()}, {versions}"


def load() -> float:
    """Return how many processes wanted a processor in the last minute: above 0.5 others were at work too."""
    return os.getloadavg()[0]


def _processor() -> str:
    return _value("/proc/cpuinfo", "model name", ":")


def _memory_gigabytes() -> float:
    return int(_value("/proc/meminfo", "MemTotal", ":").split()[0]) / 1024**2


def _system() -> str:
    return _value("/etc/os-release", "PRETTY_NAME", "=").strip('"')


def _value(file: str, name: str, separator: str) -> str:
    for line in Path(file).read_text().splitlines():
        key, _, value = line.partition(separator)
        if key.strip() == name:
            return value.strip()
    raise KeyError(name)
