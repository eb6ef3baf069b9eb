from cronsched.lib import rates
from cronsched.lib.rates import Rates


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_minutes_allowance_may_be_used_at_once_and_comes_back_steadily():
    clock = Clock()
    buckets = Rates(clock)
    assert [buckets.take("a", 60) for _ in range(60)] == [0] * 60
    assert buckets.take("a", 60) == 1
    clock.now = 1.0
    assert (buckets.take("a", 60), buckets.take("a", 60)) == (0, 1)
    clock.now = 1000.0
    assert [buckets.take("a", 60) for _ in range(61)] == [0] * 60 + [1]


def test_the_wait_is_as_long_as_it_takes():
    buckets = Rates(Clock())
    assert buckets.take("a", 2) == buckets.take("a", 2) == 0
    assert buckets.take("a", 2) == 30


def test_keys_do_not_share_and_nothing_is_no_limit():
    buckets = Rates(Clock())
    assert (buckets.take("a", 1), buckets.take("b", 1), buckets.take("a", 1)) == (0, 0, 60)
    assert [buckets.take("c", 0) for _ in range(1000)] == [0] * 1000


def test_old_buckets_are_given_up(monkeypatch):
    monkeypatch.setattr(rates, "MAX_BUCKETS", 2)
    buckets = Rates(Clock())
    for key in "abc":
        buckets.take(key, 1)
    assert buckets.take("c", 1) == 60
    assert buckets.take("a", 1) == 0
