"""Write a development `.env` once. It needs no installed package and no Django, because both need what it writes."""

import os
import secrets
import stat
import sys
import tempfile
from pathlib import Path

TEMPLATE = """\
# Settings of this development checkout, made by `make run` and never overwritten. All variables: .env.example
# The process environment wins over this file.
DEBUG=true
SECRET_KEY={secret_key}
JWT_SECRET_KEY={jwt_secret_key}
ALLOWED_HOSTS=localhost,127.0.0.1,[::1]
# Jobs may call this machine and its network. A deployment lists its intranet in WEBHOOK_ALLOWED_CIDRS instead.
WEBHOOK_ALLOW_PRIVATE_NETWORKS=true
# Ctrl-C gives requests in flight this long; honcho kills after five seconds.
DRAIN_TIMEOUT_SECONDS=3
"""


def write_once(path: Path) -> bool:
    """Write new random secrets to `path`, readable by its owner only. Returns False if there is one already.

    The file appears with its whole content or not at all: a half-written one would never be repaired.
    """
    if path.exists():
        return False
    content = TEMPLATE.format(secret_key=secrets.token_urlsafe(48), jwt_secret_key=secrets.token_urlsafe(48))
    # mkstemp makes it 0600 from the start, so the secrets are at no moment readable by others.
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # link() refuses an existing name where rename() would replace it: of two starts at once, one wins.
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(draft)
    return True


def main() -> None:
    path = Path(sys.argv[1])
    try:
        written = write_once(path)
        shared = stat.S_IMODE(path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO)
    except OSError as error:
        sys.exit(f"Cannot write {path}: {error.strerror}.")
    if written:
        print(f"Wrote {path} with new random secrets")
    elif shared:
        print(f"Other accounts may read the secrets in {path}: chmod 600 {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
