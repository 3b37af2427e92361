"""Passwords that attackers know: a table of truncated hashes, and a file of the operator's.

`passwords.table` holds 200,000 passwords (`SOURCES.md`; made by `build.py`): the first five bytes
of the SHA-256 of each, sorted.  It is memory-mapped, so all workers share its pages, and a search
takes microseconds.  Another password is mistaken for a known one with a probability of
200,000 / 2^40, one in five million.

A password is looked up in the form that `fold` returns: capitals count as small letters, and
NFKC equivalents as equal.
"""

import hashlib
import mmap
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

DIGEST_BYTES = 5
TABLE = Path(__file__).with_name("passwords.table")
_MOST_LINES = 1_000_000


class KnownPasswords:
    """The table that comes with the service, and the operator's own list."""

    def __init__(self, own: Path | None = None) -> None:
        """Open both.  ValueError, with a one-line text, when the operator's file cannot be used."""
        self._own = _read(own) if own else b""
        with TABLE.open("rb") as file:
            self._shipped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __contains__(self, password: str) -> bool:
        sought = digest(password)
        return _holds(self._shipped, sought) or _holds(self._own, sought)

    def __len__(self) -> int:
        return (len(self._shipped) + len(self._own)) // DIGEST_BYTES


_UNSEEN = frozenset({"Cc", "Cf"})


def fold(password: str) -> str:
    """Return the spelling in which a password is looked up: NFKC, case folded, NFKC again."""
    if password.isascii():
        return password.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", password).casefold())


def bare(password: str) -> str:
    """Return a password without invisible characters and surrounding blanks.

    Invisible are control and format characters and variation selectors.
    """
    seen = (c for c in password if unicodedata.category(c) not in _UNSEEN)
    return "".join(c for c in seen if not "\ufe00" <= c <= "\ufe0f").strip()


def digest(password: str) -> bytes:
    """Return the truncated hash that a table holds for a password."""
    return hashlib.sha256(fold(password).encode()).digest()[:DIGEST_BYTES]


def pack(passwords: Iterable[str]) -> bytes:
    """Make a table: the digests, sorted, each once."""
    return b"".join(sorted(set(map(digest, passwords))))


def _holds(table: bytes | mmap.mmap, sought: bytes) -> bool:
    def at(index: int) -> bytes:
        return table[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]

    return at(bisect_left(range(len(table) // DIGEST_BYTES), sought, key=at)) == sought


def _read(own: Path) -> bytes:
    """Read an operator's file: UTF-8, one password per line; blank lines are skipped."""
    lines: list[str] = []
    try:
        with own.open(encoding="utf-8-sig") as file:
            for line in file:
                if password := line.rstrip("\r\n"):
                    lines.append(password)
                if len(lines) > _MOST_LINES:
                    raise ValueError(f"{own} has more than {_MOST_LINES:,} lines")
    except UnicodeDecodeError:
        raise ValueError(f"{own} is not UTF-8") from None
    except OSError as exc:
        raise ValueError(f"{own} cannot be read: {exc.strerror}") from None
    return pack(lines)
