"""Places in flight: all of them for one owner alone, a share for each when they are short."""

import threading
from uuid import UUID, uuid4

import pytest

from jobs.targets.limits import GITHUB, HostLimiter, Wanted, limiter, origin_of

WAIT = 30.0


def fill(limiter: HostLimiter, owner: str, *, origin: str | None = None, wanted: int = 10_000) -> list[UUID]:
    """Take as many places as `owner` gets; each to an origin of its own unless one is given."""
    keys: list[UUID] = []
    while len(keys) < wanted:
        key = uuid4()
        if not limiter.take(key, Wanted(owner, origin or str(key))):
            break
        keys.append(key)
    return keys


def test_one_owner_alone_gets_three_quarters():
    assert len(fill(HostLimiter(1000), "busy")) == 713


def test_one_origin_gets_three_quarters_whoever_asks():
    places = HostLimiter(1000)
    got = [fill(places, f"owner {number}", origin="https://slow:443", wanted=100) for number in range(20)]
    assert sum(map(len, got)) == 713


def test_the_next_one_finds_room_however_many_are_greedy():
    places = HostLimiter(1000)
    for number in range(10):
        fill(places, f"greedy {number}")
        assert len(fill(places, f"modest {number}", wanted=2)) == 2


def test_shares_become_even_while_places_come_and_go():
    places = HostLimiter(1000)
    held = {"early": fill(places, "early"), "late": fill(places, "late")}
    for _ in range(2000):
        for keys in held.values():
            if keys:
                places.leave([keys.pop(0)])
        for owner in ("late", "early"):
            held[owner] += fill(places, owner)
    early, late = len(held["early"]), len(held["late"])
    assert abs(early - late) <= 2
    assert early + late > 800


@pytest.mark.parametrize(("limit", "alone"), [(1, 1), (2, 2), (3, 3), (4, 3), (10, 8)])
def test_small_limits_leave_little_or_nothing_free(limit, alone):
    assert len(fill(HostLimiter(limit), "one")) == alone


def test_an_origin_has_a_limit_of_its_own():
    places = HostLimiter(100, per_origin=2)
    assert len(fill(places, "a", origin="https://h:443")) == 2
    assert not places.take(uuid4(), Wanted("b", "https://h:443"))
    assert places.take(uuid4(), Wanted("a", "https://other:443"))


def test_places_are_given_back_once():
    places = HostLimiter(4)
    keys = fill(places, "a")
    places.leave([*keys, uuid4()])
    places.leave(keys)
    assert (places.free, len(fill(places, "a"))) == (4, 3)


def test_an_owner_that_has_its_share_must_wait():
    places = HostLimiter(8)
    keys = fill(places, "a")
    assert places.owner_must_wait("a")
    assert not places.owner_must_wait("b")
    places.leave(keys[:2])
    assert not places.owner_must_wait("a")


def test_whoever_waits_gets_the_place_that_comes_free():
    places = HostLimiter(1)
    first, second = uuid4(), uuid4()
    assert places.take(first, Wanted("a", "o"))
    assert not places.take_within(0.01, second, Wanted("a", "o"))
    got: list[bool] = []
    waiting = threading.Thread(target=lambda: got.append(places.take_within(WAIT, second, Wanted("a", "o"))))
    waiting.start()
    places.leave([first])
    waiting.join(WAIT)
    assert got == [True]


@pytest.mark.parametrize(
    ("target", "origin"),
    [
        ("https://H.example.com/a", "https://h.example.com:443"),
        ("https://h.example.com:443/b", "https://h.example.com:443"),
        ("https://h.example.com./b", "https://h.example.com:443"),
        ("http://h.example.com/", "http://h.example.com:80"),
        ("http://h.example.com:443/", "http://h.example.com:443"),
        ("https://user:***@h.example.com/", "https://h.example.com:443"),
        ("http://[::1]:8080/x", "http://[::1]:8080"),
        ("http://[broken/", ""),
        ("owner/repo/one.yml", GITHUB),
        (None, ""),
    ],
)
def test_an_origin_is_scheme_host_and_port_however_they_are_written(target, origin):
    assert origin_of(target) == origin


def test_a_process_has_one_limiter_by_its_settings(settings):
    settings.MAX_IN_FLIGHT, settings.PER_HOST_IN_FLIGHT = 3, 1
    assert limiter() is limiter()
    assert fill(limiter(), "a", origin="o", wanted=2) != []
    assert not limiter().take(uuid4(), Wanted("b", "o"))
