"""Numbers in query strings, far from the usual ones."""

import pytest

from cronsched.lib.errors import SchemaError
from cronsched.lib.input import query

PAGE = query.Whole(1, low=1)
LIMIT = query.Whole(20, low=1, high=200)
PER_PAGE = query.Whole(20, low=1, cut=100)


def test_a_number_without_an_upper_bound_may_be_of_any_size():
    assert query.read({"page": "9" * 30}, page=PAGE) == {"page": int("9" * 30)}


@pytest.mark.parametrize("text", ["101", str(2**63), "9" * 30, "9" * 3000])
def test_a_number_that_is_cut_is_never_too_large(text):
    assert query.read({"per_page": text}, per_page=PER_PAGE) == {"per_page": 100}


@pytest.mark.parametrize("text", ["", " ", "x", "1.5", "-", "--5", "+5", "1_0", "٣", "5x", "9" * 100_000])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(SchemaError):
        query.read({"page": text}, page=PAGE)


@pytest.mark.parametrize("text", ["0", "-1", "201", "9" * 30, "-" + "9" * 30])
def test_a_number_out_of_bounds_is_refused(text):
    with pytest.raises(SchemaError):
        query.read({"limit": text}, limit=LIMIT)
