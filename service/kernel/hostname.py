"""Domain names by IDNA 2008 (RFC 5891), which keeps every letter that registries sell.

IDNA 2003 and NFKC turn `straße` into `strasse` and change the final sigma of `πόλις`.  Those are
other domains, which other people own.  Here only capital letters with exactly one small letter are
mapped.
"""

import unicodedata

import idna
from msgspec import Struct

_LONGEST = 253
"""Octets of a name written with dots (RFC 1035 section 2.3.4, without the length bytes)."""
_CAPITAL_SIGMA = "\N{GREEK CAPITAL LETTER SIGMA}"


class Hostname(Struct, frozen=True):
    """A domain name as people read it (U-labels) and as servers use it (A-labels)."""

    unicode: str
    ascii: str


def parse(given: str) -> Hostname | None:
    """Parse a domain name in either form; None when IDNA 2008 does not allow it."""
    composed = compose(given)
    if composed is None or composed.endswith("."):
        return None
    try:
        encoded = idna.encode("".join(map(_lower, composed)), strict=True).decode()
        decoded = idna.decode(encoded, strict=True)
    except (idna.IDNAError, UnicodeError):
        return None
    # An IP address is not a domain name (RFC 3696 section 2).
    if len(encoded) > _LONGEST or encoded.rpartition(".")[2].isdigit():
        return None
    return Hostname(decoded, encoded)


def compose(text: str) -> str | None:
    """Return a text in NFC; None when NFC turns another letter into ASCII (U+212A into K)."""
    if any(not one.isascii() and unicodedata.normalize("NFC", one).isascii() for one in text):
        return None
    return unicodedata.normalize("NFC", text)


def _lower(letter: str) -> str:
    """Return the small letter of a capital one, when there is exactly one (RFC 5895 section 2).

    Capital sigma has two small letters, and capital sharp s may stand for two letters.  Both are
    returned as they are, and IDNA 2008 then refuses them.
    """
    small = letter.lower()
    one = len(small) == 1 and small == letter.casefold() and letter != _CAPITAL_SIGMA
    return small if one else letter
