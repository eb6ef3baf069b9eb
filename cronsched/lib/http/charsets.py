"""Decodes the bytes of an answer to text."""

import codecs
from email.message import Message
from functools import lru_cache

DEFAULT = "utf-8"

# Charsets a target may name. Python knows many more, some of which decode to text no database takes.
EAST_ASIAN = frozenset(
    {"big5", "big5hkscs", "cp932", "cp949", "euc_jp", "euc_kr", "gb18030", "gb2312", "gbk", "iso2022_jp", "shift_jis"}
)
WESTERN = frozenset(
    {"ascii", "koi8-r", "koi8-u", *(f"cp{page}" for page in range(1250, 1259)), *(f"iso8859-{n}" for n in range(1, 17))}
)
CHARSETS = EAST_ASIAN | WESTERN | {"utf-8", "utf-16", "utf-16-le", "utf-16-be"}

# Names in use on the web that Python does not know (https://encoding.spec.whatwg.org, section 4.2).
ALIASES = {
    "csshiftjis": "cp932",
    "ms932": "cp932",
    "ms_kanji": "cp932",
    "windows-31j": "cp932",
    "x-sjis": "cp932",
    "x-ms-cp932": "cp932",
    "x-euc-jp": "euc_jp",
    "cseucpkdfmtjapanese": "euc_jp",
    "csiso2022jp": "iso2022_jp",
    "cseuckr": "euc_kr",
    "ks_c_5601-1987": "cp949",
    "windows-949": "cp949",
    "x-gbk": "gbk",
    "x-x-big5": "big5",
    "big5-hkscs": "big5hkscs",
    "unicode-1-1-utf-8": "utf-8",
    "x-unicode20utf8": "utf-8",
    "unicode": "utf-16",
    "x-cp1250": "cp1250",
    "x-cp1251": "cp1251",
    "x-cp1252": "cp1252",
}


def decode(body: bytes, content_type: str) -> str:
    """Return the text in the charset the type names if that is a common one, else in UTF-8.

    What does not decode becomes U+FFFD; a byte order mark is left out.
    """
    return body.decode(charset_of(content_type), "replace").removeprefix("\ufeff")


@lru_cache(maxsize=256)
def charset_of(content_type: str) -> str:
    """Return Python's name of the charset in a Content-Type header, UTF-8 where it names none or an uncommon one."""
    if "charset" not in content_type.lower():
        return DEFAULT
    header = Message()
    try:
        header["Content-Type"] = content_type
        named = str(header.get_content_charset(DEFAULT)).strip().lower()
        found = codecs.lookup(ALIASES.get(named, named)).name
    except (LookupError, ValueError):
        return DEFAULT
    return found if found in CHARSETS else DEFAULT
