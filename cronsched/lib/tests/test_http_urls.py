import pytest

from cronsched.lib.http import RequestError
from cronsched.lib.http.urls import parse


@pytest.mark.parametrize("url", ["http://localhost:0/", "https://example.com:0", "http://[::1]:00/"])
def test_port_zero_is_refused_and_not_taken_for_the_schemes_own(url):
    with pytest.raises(RequestError, match="the port is not valid"):
        parse(url)


@pytest.mark.parametrize("sign", ["\u200b", "\u200d", "\ufeff", "\u00ad", "\u2060", "\u00a0", "\u202e", "\u2028"])
@pytest.mark.parametrize("url", ["http://example{}.com/", "http://example.com/a{}b", "http://example.com/?q={}x"])
def test_characters_that_cannot_be_seen_are_refused_by_their_number(url, sign):
    with pytest.raises(RequestError, match=f"U\\+{ord(sign):04X}"):
        parse(url.format(sign))


@pytest.mark.parametrize("url", ["http://b\u00fccher.example/", "http://example.com/\u65e5\u672c"])
def test_letters_of_other_scripts_are_fine(url):
    assert parse(url).port == 80
