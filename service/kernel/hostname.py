"""Domain names by IDNA 2008 (RFC 5891), in which every letter that a registry sells stays itself.

IDNA 2003 and NFKC make `strasse` of `straße` and another final sigma of `πόλις`: other domains,
which other people own.  Nothing is mapped here but capital letters that have one small one.
"""

import unicodedata

import idna
from msgspec import Struct

_LONGEST = 253
"""Octets, written with dots (RFC 1035 section 2.3.4, less its length bytes)."""
_CAPITAL_SIGMA = "\N{GREEK CAPITAL LETTER SIGMA}"


class Hostname(Struct, frozen=True):
    """A domain name, as people read it (U-labels) and as servers do (A-labels)."""

    unicode: str
    ascii: str


def parse(given: str) -> Hostname | None:
    """Read a domain name in either form; None when it is none by IDNA 2008."""
    composed = compose(given)
    if composed is None or composed.endswith("."):
        return None
    try:
        encoded = idna.encode("".join(map(_lower, composed)), strict=True).decode()
        decoded = idna.decode(encoded, strict=True)
    except (idna.IDNAError, UnicodeError):
        return None
    # An address of the internet protocol is no name (RFC 3696 section 2).
    if len(encoded) > _LONGEST or encoded.rpartition(".")[2].isdigit():
        return None
    return Hostname(decoded, encoded)


def compose(text: str) -> str | None:
    """Return a text in NFC; None when that would make ASCII of what is none, as of U+212A."""
    if any(not one.isascii() and unicodedata.normalize("NFC", one).isascii() for one in text):
        return None
    return unicodedata.normalize("NFC", text)


def _lower(letter: str) -> str:
    """Return the small letter of a capital one that has exactly one (RFC 5895 section 2).

    A capital sigma has two, and a capital sharp s may be meant for two letters: they stay, and
    capital letters are none of IDNA 2008.
    """
    small = letter.lower()
    one = len(small) == 1 and small == letter.casefold() and letter != _CAPITAL_SIGMA
    return small if one else letter
