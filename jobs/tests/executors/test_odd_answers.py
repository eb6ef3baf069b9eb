"""Odd answers, byte by byte: what the execution says, what is stored, which status is kept, how often it was asked."""

import gzip
import time
import zlib
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from cronsched.lib.tests.servers import Behaviour, Visit, target
from jobs.executors.base import Outcome
from jobs.executors.rules import SuccessRule
from jobs.executors.webhook import WebhookExecutor, WebhookRequest


def compressed(body: bytes) -> bytes:
    """Return the same bytes in every process: what gzip adds is the time, and tests are named by what they send."""
    return gzip.compress(body, mtime=0)


HEAD = b"HTTP/1.1 200 OK\r\n"
BROTLI = b"\x0b\x05\x80hello world\x03"
SOON_SECONDS = 5.0

NO_ANSWER = "the target closed the connection without an answer"
ENDED_EARLY = "the answer ended early"
INVALID = "the answer is not valid HTTP"
TOO_LARGE = "the head of the answer is too large"
UNREADABLE = "the answer's compression cannot be read"


def sized(body: bytes, *headers: bytes) -> bytes:
    """Return an answer with a Content-Length."""
    return HEAD + b"".join(header + b"\r\n" for header in headers) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(*chunks: bytes, coding: bytes = b"chunked", end: bytes = b"0\r\n\r\n") -> bytes:
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return HEAD + b"Transfer-Encoding: " + coding + b"\r\n\r\n" + framed + end


def typed(text: str, codec: str, charset: str) -> bytes:
    return sized(text.encode(codec), b"Content-Type: text/plain; charset=" + charset.encode())


def reading(answer: bytes) -> Behaviour:
    def behave(visit: Visit) -> None:
        visit.read_request()
        visit.send(answer)

    return behave


@dataclass(frozen=True)
class Odd:
    """An answer, and what the execution has to say of it. `error` is what stands behind `Request failed: `."""

    answer: bytes | Behaviour
    output: str | None = "hello"
    status: int | None = 200
    error: str | None = None
    refusal: str | None = None
    requests: int = 1

    @property
    def behaviour(self) -> Behaviour:
        return reading(self.answer) if isinstance(self.answer, bytes) else self.answer


def failed(answer: bytes | Behaviour, error: str, status: int | None = 200) -> Odd:
    return Odd(answer, output=None, status=status, error=error)


FRAMING = {
    "a length twice": Odd(HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    "a list of equal lengths": Odd(HEAD + b"Content-Length: 5, 5\r\n\r\nhello"),
    "a list without blanks": Odd(HEAD + b"Content-Length: 5,5\r\n\r\nhello"),
    "a list of unequal lengths": failed(HEAD + b"Content-Length: 5, 6\r\n\r\nhello", INVALID),
    "two lengths that differ": failed(HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", INVALID),
    "a negative length": failed(HEAD + b"Content-Length: -5\r\n\r\nhello", INVALID),
    "a length with a sign": failed(HEAD + b"Content-Length: +5\r\n\r\nhello", INVALID),
    "a length in hex": failed(HEAD + b"Content-Length: 0x5\r\n\r\nhello", INVALID),
    "a length that is no number": failed(HEAD + b"Content-Length: five\r\n\r\nhello", INVALID),
    "no length at all": Odd(HEAD + b"\r\nhello"),
    "a length beyond all bounds": Odd(HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nhello"),
    "HTTP/1.0": Odd(b"HTTP/1.0 200 OK\r\n\r\nhello"),
    "chunks": Odd(chunked(b"hel", b"lo")),
    "chunks with extensions": Odd(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n"),
    "chunks with trailers": Odd(chunked(b"hello", end=b"0\r\nX-Trailer: 1\r\n\r\n")),
    "chunks with bare line feeds": Odd(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n"),
    "chunked twice": Odd(HEAD + b"Transfer-Encoding: chunked\r\n" + chunked(b"hello").removeprefix(HEAD)),
    "chunks and a length": Odd(HEAD + b"Content-Length: 3\r\n" + chunked(b"hello").removeprefix(HEAD)),
    "a length after the chunks": Odd(
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    ),
    "chunks of no size": failed(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", ENDED_EARLY),
    "chunks of negative size": failed(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n", ENDED_EARLY),
    "chunks too large to count": failed(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 20 + b"\r\nhello", ENDED_EARLY
    ),
    "a chunk longer than announced": failed(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX0\r\n\r\n", ENDED_EARLY
    ),
    "chunks without the last": failed(chunked(b"hello", end=b""), ENDED_EARLY),
    "an unknown transfer coding": failed(chunked(b"hello", coding=b"secret, chunked"), UNREADABLE),
    "more than announced": Odd(HEAD + b"Content-Length: 5\r\n\r\nhello, and more"),
    "less than announced": failed(HEAD + b"Content-Length: 9\r\n\r\nhello", ENDED_EARLY),
    "204 with a body": Odd(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", output="", status=204),
    "304 with a length": Odd(
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        output="",
        status=304,
        refusal="Webhook returned status 304",
    ),
}

ENCODINGS = {
    "gzip": Odd(sized(compressed(b"hello"), b"Content-Encoding: gzip")),
    "x-gzip": Odd(sized(compressed(b"hello"), b"Content-Encoding: x-gzip")),
    "gzip twice": Odd(sized(compressed(compressed(b"hello")), b"Content-Encoding: gzip, gzip")),
    "deflate": Odd(sized(zlib.compress(b"hello"), b"Content-Encoding: deflate")),
    "deflate without its wrapper": Odd(sized(zlib.compress(b"hello")[2:-4], b"Content-Encoding: deflate")),
    "brotli": Odd(sized(BROTLI, b"Content-Encoding: br"), output="hello world"),
    "identity": Odd(sized(b"hello", b"Content-Encoding: identity")),
    "gzip in chunks": Odd(HEAD + b"Content-Encoding: gzip\r\n" + chunked(compressed(b"hello")).removeprefix(HEAD)),
    "gzip as a transfer coding": Odd(chunked(compressed(b"hello"), coding=b"gzip, chunked")),
    "gzip that is none": failed(sized(b"hello", b"Content-Encoding: gzip"), UNREADABLE),
    "gzip that is damaged": failed(
        sized(compressed(b"hello")[:12] + b"XXXX" + b"\0" * 8, b"Content-Encoding: gzip"), UNREADABLE
    ),
    "gzip without its end": Odd(sized(compressed(b"hello")[:-8], b"Content-Encoding: gzip")),
    "an unknown encoding": failed(sized(b"hello", b"Content-Encoding: secret"), UNREADABLE),
    "a bomb": Odd(sized(compressed(b"x" * 50_000_000), b"Content-Encoding: gzip"), output="x" * 1000),
    "a bomb in a bomb": Odd(
        sized(compressed(compressed(b"x" * 50_000_000)), b"Content-Encoding: gzip, gzip"), output="x" * 1000
    ),
}

CHARSETS = {
    "ISO-8859-1": Odd(typed("größe", "latin-1", "ISO-8859-1"), output="größe"),
    "UTF-16": Odd(typed("größe", "utf-16", "UTF-16"), output="größe"),
    "UTF-16BE": Odd(typed("größe", "utf-16-be", "utf-16be"), output="größe"),
    "Shift_JIS": Odd(typed("完了", "shift_jis", "Shift_JIS"), output="完了"),
    "Windows-31J": Odd(typed("①完了", "cp932", "Windows-31J"), output="①完了"),
    "x-sjis": Odd(typed("完了", "cp932", "x-sjis"), output="完了"),
    "x-euc-jp": Odd(typed("完了", "euc_jp", "x-euc-jp"), output="完了"),
    "EUC-KR": Odd(typed("완료", "euc_kr", "euc-kr"), output="완료"),
    "Big5": Odd(typed("完成", "big5", "Big5"), output="完成"),
    "windows-1251": Odd(typed("готово", "cp1251", "windows-1251"), output="готово"),
    "in quotes": Odd(typed("größe", "latin-1", '"ISO-8859-1"'), output="größe"),
    "UTF-8 with a byte order mark": Odd(typed("größe", "utf-8-sig", "utf-8"), output="größe"),
    "unknown": Odd(typed("größe", "utf-8", "x-klingon"), output="größe"),
    "not the one it names": Odd(typed("größe", "latin-1", "utf-8"), output="gr\ufffd\ufffde"),
    "none": Odd(sized("größe".encode()), output="größe"),
}

HEADS = {
    "120 header lines": Odd(sized(b"hello", *(b"X-%d: a" % number for number in range(120)))),
    "a folded header": Odd(sized(b"hello", b"X-Folded: a", b" b")),
    "bare line feeds": Odd(b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
    "no reason": Odd(b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello"),
    "a line without a colon": failed(sized(b"hello", b"nothing"), INVALID),
    "a NUL in a header": failed(sized(b"hello", b"X-Nul: a\0b"), INVALID),
    "a header line without end": failed(HEAD + b"X-A: " + b"b" * 200_000, TOO_LARGE),
    "header lines without end": failed(HEAD + b"X-A: b\r\n" * 30_000, TOO_LARGE),
    "a status of two digits": failed(b"HTTP/1.1 99 Odd\r\n\r\n", INVALID, None),
    "a status of four digits": failed(b"HTTP/1.1 2000 Odd\r\n\r\n", INVALID, None),
    "HTTP/2 in plain text": failed(b"HTTP/2 200\r\n\r\n", INVALID, None),
    "HTTP/0.9": failed(b"hello", INVALID, None),
    "another protocol": failed(b"SSH-2.0-OpenSSH_9.2\r\n", INVALID, None),
    "noise": failed(b"\x00\xff" * 500, INVALID, None),
    "100 Continue first": Odd(b"HTTP/1.1 100 Continue\r\n\r\n" + sized(b"hello")),
    "103 Early Hints, thrice": Odd(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3 + sized(b"hello")),
    "interim answers without end": failed(b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000, TOO_LARGE, None),
    "another protocol is offered": Odd(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nhello",
        output="",
        status=101,
        refusal="Webhook returned status 101",
    ),
    "status 999": Odd(
        b"HTTP/1.1 999 Odd\r\nContent-Length: 5\r\n\r\nhello", status=999, refusal="Webhook returned status 999"
    ),
}


def silent(visit: Visit) -> None:
    visit.read_request()
    visit.stall()


def early(status: bytes) -> Behaviour:
    """Answer before the request was read, and read none of it."""

    def behave(visit: Visit) -> None:
        visit.sock.recv(1024)
        visit.send(b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\nhello")
        visit.stall()

    return behave


def five_gigabytes(visit: Visit) -> None:
    visit.read_request()
    visit.send(HEAD + b"Content-Length: 5368709120\r\n\r\n")
    while True:
        visit.send(b"x" * 65536)


def dripping(visit: Visit) -> None:
    visit.read_request()
    visit.send(HEAD + b"Content-Length: 5000\r\n\r\n")
    visit.drip(b"x" * 5000)


def resetting(answer: bytes) -> Behaviour:
    def behave(visit: Visit) -> None:
        visit.read_request()
        visit.send(answer)
        visit.reset()

    return behave


BREAKING = {
    "nothing": failed(b"", NO_ANSWER, None),
    "nothing, unread": Odd(lambda visit: None, output=None, status=None, error=NO_ANSWER, requests=0),
    "a reset": failed(resetting(b""), NO_ANSWER, None),
    "a reset in the body": failed(resetting(HEAD + b"Content-Length: 9\r\n\r\nhel"), ENDED_EARLY),
    "the end in the status line": failed(b"HTTP/1.1 2", NO_ANSWER, None),
    "the end in the head": failed(HEAD + b"Content-Le", ENDED_EARLY),
    "five gigabytes": Odd(five_gigabytes, output="x" * 1000),
    "silence": failed(silent, "timed out after 1 s while waiting for the answer", None),
    # The contract counts a timeout as no answer.
    "a body that drips": failed(dripping, "timed out after 1 s while reading the answer", None),
}

ROWS: dict[str, Odd] = {
    f"{group}: {name}": odd
    for group, rows in {
        "framing": FRAMING,
        "encoding": ENCODINGS,
        "charset": CHARSETS,
        "head": HEADS,
        "breaking": BREAKING,
    }.items()
    for name, odd in rows.items()
}


@pytest.mark.parametrize("name", ROWS)
def test_an_odd_answer_is_told_as_it_was(http_client, name):
    odd = ROWS[name]
    began = time.monotonic()
    with target(odd.behaviour) as server:
        request = WebhookRequest(server.url("/hook"), {"a": 1}, timeout=timedelta(seconds=1))
        outcome = WebhookExecutor(http_client).run(request)
    message = f"Request failed: {odd.error}" if odd.error else odd.refusal
    assert outcome.error_message == message
    assert (outcome.status, outcome.response_status) == ("failed" if message else "success", odd.status)
    assert outcome.output == odd.output
    assert (len(server.requests), server.connections) == (odd.requests, 1)
    assert time.monotonic() - began < SOON_SECONDS


@pytest.mark.parametrize("status", [b"200 OK", b"401 Unauthorized", b"413 Too Large", b"500 Odd"])
def test_an_answer_before_the_request_was_read_counts(http_client, status):
    with target(early(status)) as server:
        request = WebhookRequest(server.url("/hook"), {"a": "x" * 2_000_000}, timeout=timedelta(seconds=3))
        outcome = WebhookExecutor(http_client).run(request)
    assert (outcome.response_status, outcome.output) == (int(status[:3]), "hello")
    assert server.connections == 1


@pytest.mark.parametrize("name", [name for name, odd in ROWS.items() if odd.error is None and odd.output])
def test_a_client_that_reads_many_odd_answers_reads_the_next_one(http_client, name):
    """Nothing of an answer is left in the handle that is used again."""
    plain = Odd(sized(b"plain"), output="plain")
    for odd in (ROWS[name], replace(plain), ROWS[name], plain):
        with target(odd.behaviour) as server:
            outcome = WebhookExecutor(http_client).run(
                WebhookRequest(server.url("/hook"), timeout=timedelta(seconds=9))
            )
        assert outcome.output == odd.output


def test_the_table_is_long():
    assert len(ROWS) >= 60


@pytest.mark.parametrize(
    "answer, wanted",
    [
        (typed("größe", "latin-1", "ISO-8859-1"), "größe"),
        (typed("größe", "utf-16", "UTF-16"), "größe"),
        (typed("完了", "cp932", "Windows-31J"), "完了"),
        (typed("完了", "euc_jp", "x-euc-jp"), "完了"),
        (sized(compressed("größe".encode()), b"Content-Encoding: gzip"), "größe"),
    ],
)
def test_a_text_is_looked_for_in_what_the_answer_says(http_client, answer: bytes, wanted: str):
    def outcome(text: str) -> Outcome:
        # A target for each: the one before is about to close its connection.
        with target(reading(answer)) as server:
            request = WebhookRequest(server.url("/hook"), success=SuccessRule.of("", text))
            return WebhookExecutor(http_client).run(request)

    assert outcome(wanted).succeeded
    assert outcome("missing").error_message == "Webhook answer does not contain 'missing'"
