"""Hosts: network namespaces on this machine, each with a cable to the database and one to everything else.

The addresses of the database and of the rest belong to the machine, and a host reaches each by its own cable alone. A
cable that is pulled out swallows what is sent: nobody is told that the other side is gone.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HOSTS = 2


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Host:
    """One namespace. `number` counts from 0."""

    def __init__(self, number: int, mark: int, database: str, rest: str) -> None:
        self.name = f"chaos-{mark}-{number}"
        self._cables: list[str] = []
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "set", "lo", "up")
        for kind, address in enumerate((database, rest)):
            self._lay(f"ch{mark}-{number}{kind}", address, f"10.78.{mark}", 16 + 8 * number + 4 * kind)

    @property
    def entry(self) -> list[str]:
        """What stands before a command that is to run here."""
        return ["ip", "netns", "exec", self.name]

    def cut(self) -> None:
        """Pull out the cable to the database."""
        ip("link", "set", self._cables[0], "down")

    def heal(self) -> None:
        ip("link", "set", self._cables[0], "up")

    def remove(self) -> None:
        ip("netns", "delete", self.name)

    def _lay(self, cable: str, address: str, network: str, first: int) -> None:
        far, near = f"{network}.{first + 1}", f"{network}.{first + 2}"
        ip("link", "add", cable, "type", "veth", "peer", "name", f"{cable}n", "netns", self.name)
        ip("address", "add", f"{far}/30", "dev", cable)
        ip("link", "set", cable, "up")
        ip("-n", self.name, "address", "add", f"{near}/30", "dev", f"{cable}n")
        ip("-n", self.name, "link", "set", f"{cable}n", "up")
        ip("-n", self.name, "route", "add", address, "via", far)
        self._cables.append(cable)


class Network:
    """All hosts of a run. `database` and `rest` are the addresses at which they find what is not theirs."""

    def __init__(self) -> None:
        mark = os.getpid() % 250
        self.database, self.rest = f"10.78.{mark}.1", f"10.78.{mark}.2"
        for address in (self.database, self.rest):
            ip("address", "add", f"{address}/32", "dev", "lo")
        self.hosts = [Host(number, mark, self.database, self.rest) for number in range(HOSTS)]

    def of(self, place: int) -> int:
        """Return the number of the host that a place is on."""
        return place % HOSTS

    def remove(self) -> None:
        for host in self.hosts:
            host.remove()
        for address in (self.database, self.rest):
            ip("address", "delete", f"{address}/32", "dev", "lo")


def absent() -> str:
    """Return why there can be no hosts here; blank where there can."""
    if not shutil.which("ip"):
        return "no ip command here"
    try:
        ip("netns", "add", "chaos-probe")
    except subprocess.CalledProcessError as error:
        return f"no network namespaces here: {error.stderr.decode().strip()}"
    ip("netns", "delete", "chaos-probe")
    return ""


@contextmanager
def network() -> Iterator[Network]:
    made = Network()
    try:
        yield made
    finally:
        # A host that could not be removed is none of the run's business.
        with suppress(subprocess.CalledProcessError):
            made.remove()
