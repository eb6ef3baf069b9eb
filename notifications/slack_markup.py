"""Slack's text markup. Users' text is escaped before it is inserted, or it could mention a whole channel."""

import re

# Words that mention many; as a handle they mean what they say.
GROUPS = {"@here": "<!here>", "@channel": "<!channel>", "@everyone": "<!everyone>"}
MENTION = re.compile(r"<(?:!subteam\^S[A-Z0-9]+|@[UW][A-Z0-9]+|!here|!channel|!everyone)(?:\|[^<>|]*)?>")
# An id on its own has at least nine characters, some of them digits; a shorter or purer one may be a name.
ID = re.compile(r"@?(?=[A-Z]*[0-9])(?P<kind>[UWS])(?P<rest>[A-Z0-9]{8,})")
HANDLE_PARTS = re.compile(r"<[^<>]*>|[^\s<]+|<")


def escape(text: str) -> str:
    """Return `text` as Slack shows it literally: it knows these three entities and no others."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def link(url: str, label: str) -> str:
    """Return a link; `label` is plain text and becomes one line."""
    return f"<{escape(url)}|{escape(' '.join(label.split()))}>"


def mention(handle: str) -> str:
    """Return a team's handle so that it really mentions: group words, `<!subteam^S…>`, `<@U…>` and bare ids.

    Anything else Slack cannot resolve in a webhook; it stays as readable text.
    """
    return " ".join(_mention(part) for part in HANDLE_PARTS.findall(handle))


def _mention(part: str) -> str:
    if part.lower() in GROUPS:
        return GROUPS[part.lower()]
    if MENTION.fullmatch(part):
        return part
    if found := ID.fullmatch(part):
        prefix = "!subteam^" if found["kind"] == "S" else "@"
        return f"<{prefix}{found['kind']}{found['rest']}>"
    return escape(part)
