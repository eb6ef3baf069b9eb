"""No form in which a target repeats a secret gets through."""

import base64
import html
import json
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from jobs.executors.masking import masked

SECRET = "p4ß\"wö/rd<&'\\ + x\n?"
PLAIN = "s3cr3t-t0ken"


def in_base64(text: str, *, before: str = "", after: str = "") -> str:
    return base64.b64encode(f"{before}{text}{after}".encode()).decode()


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": json.dumps,
    "JSON with its own letters": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON with escaped slashes": lambda text: json.dumps(text).replace("/", "\\/"),
    "JSON with escaped signs": lambda text: json.dumps(text).replace("<", "\\u003C").replace("&", "\\u0026"),
    "JSON inside JSON": lambda text: json.dumps(json.dumps(text)),
    "HTML": html.escape,
    "HTML without quotes": lambda text: html.escape(text, quote=False),
    "HTML in numbers": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "HTML in hex": lambda text: "".join(f"&#x{ord(character):X};" for character in text),
    "HTML twice": lambda text: html.escape(html.escape(text)),
    "JSON inside HTML": lambda text: html.escape(json.dumps(text)),
    "repr": repr,
    "repr of bytes": lambda text: repr(text.encode()),
    "ascii": ascii,
    "URL": lambda text: quote(text, safe=""),
    "URL with slashes": quote,
    "URL in small letters": lambda text: quote(text, safe="").lower(),
    "form": quote_plus,
    "base64": in_base64,
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 without padding": lambda text: in_base64(text).rstrip("="),
    "base64 after one character": lambda text: in_base64(text, before="a", after="bc"),
    "base64 after two characters": lambda text: in_base64(text, before="ab", after="c"),
    "base64 of a whole head": lambda text: in_base64(text, before="X-Key: ", after="\r\nX-Other: 1"),
}


@pytest.mark.parametrize("secret", [SECRET, PLAIN, "ключ-от-сейфа", "😀😀😀😀", "a" * 3000])
@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_masked_in_every_form(form, secret):
    written = FORMS[form](secret)
    shown = masked(f"before {written} after", [secret])
    assert "***" in shown
    assert secret not in shown
    assert written not in shown
    assert len(written) < 20 or written[4:-4] not in shown


@pytest.mark.parametrize("header", ["Bearer " + PLAIN, "token " + PLAIN])
def test_what_follows_a_scheme_is_a_secret_of_its_own(header):
    assert masked(f"got {PLAIN}", [header]) == "got ***"


def test_user_and_password_of_basic_are_masked_in_plain():
    header = "Basic " + in_base64("ann:" + PLAIN)
    assert masked(f"user ann:{PLAIN}, password {PLAIN}, {header}", [header]) == "user ***, password ***, ***"


@pytest.mark.parametrize("text", ["", "nothing of it", "s3cr3t", "the end"])
def test_other_text_stays(text):
    assert masked(text, [PLAIN, "", "end", "   "]) == text


def test_a_large_answer_is_masked_in_a_moment():
    text = "".join(f'{{"key{number}": "value % & \\\\ {number}"}}\n' for number in range(2000))
    began = time.process_time()
    masked(text * 2, [SECRET, PLAIN, "Bearer " + "x" * 400])
    assert time.process_time() - began < 5
