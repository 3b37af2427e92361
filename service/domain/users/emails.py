"""E-mail addresses: which are valid, how accounts are found by them, and where mail goes.

Domains follow IDNA 2008 (`kernel.hostname`): `straße.example` is not `strasse.example`.  Local
parts are folded by case only.  They may contain what RFC 8265 section 3.3 allows in a name: the
ASCII signs that need no quotes (RFC 5321 section 4.1.2), letters, marks and numbers.  Refused are
invisible characters (U+200B, U+00AD, unassigned ones, bidirectional marks) and other spellings of a
letter (full width, ligatures).  Mail goes to the address as given, never to a folded one.
"""

import re
import unicodedata

from msgspec import Struct

from service.kernel import hostname

_LONGEST_LOCAL = 64
"""Characters (RFC 5321 section 4.5.3.1.1 has octets)."""
_ATOM = r"[^\s.@<>()\[\]\\,;:\x22\x00-\x1f\x7f]+"
_DOT_ATOM = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_INVISIBLE = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that show nothing (Unicode's Default_Ignorable_Code_Point)."""
_BEFORE = re.compile(
    r"[^\s@<>()\[\]\\,;:\"\x00-\x1f\x7f]{1,64}@[^\s@<>()\[\]\\,;:\"\x00-\x1f\x7f]{1,255}"
)


_IN_DOMAIN = r"\x00-,./:-@\[-`{-\xa0"
"""What no domain has, as a set of a pattern: ASCII but letters, digits and the hyphen."""
_LABEL = rf"[^{_IN_DOMAIN}-](?:[^{_IN_DOMAIN}]{{0,61}}[^{_IN_DOMAIN}-])?"
_TOP = (  # a label that is no number
    rf"(?:[0-9]{{0,62}}[^{_IN_DOMAIN}0-9-](?:[^{_IN_DOMAIN}]{{0,61}}[^{_IN_DOMAIN}-])?"
    rf"|[0-9]{{1,61}}-[^{_IN_DOMAIN}]{{0,60}}[^{_IN_DOMAIN}-])"
)
ADDRESS = rf"{_DOT_ATOM.pattern}@(?:{_LABEL}\.)*{_TOP}"
"""The form of an address, as a pattern that ECMA 262 knows too.

IDNA 2008 and the longest name are beyond a pattern: `parse_email` has them.
"""


class Address(Struct, frozen=True):
    """A valid address for an account."""

    identity: str
    """The spelling that is stored and counted under: small letters, the domain in U-labels."""
    identity_ascii: str
    """The same with the domain in A-labels; older accounts may be stored so."""
    mailbox: str
    """The address that mail is sent to: the local part as given, the domain in A-labels."""

    @property
    def spellings(self) -> tuple[str, ...]:
        """The spellings under which this address may be stored."""
        return tuple(dict.fromkeys((self.identity, self.identity_ascii)))


class LoginName(Struct, frozen=True):
    """What a person typed as their e-mail at sign-in.  It may be no valid address."""

    subject: str
    """The name that failures count against when no account is found."""
    spellings: tuple[str, ...]
    """The spellings under which the account may be stored, the likeliest first."""
    folded_before: str
    """The spelling under which an account was stored before domains followed IDNA 2008."""


def parse_email(given: str) -> Address | None:
    """Parse an address; None when it is not valid for an account."""
    local, at, domain = given.strip().rpartition("@")
    host, name = hostname.parse(domain), _local(local)
    if not at or host is None or name is None:
        return None
    return Address(f"{name}@{host.unicode}", f"{name}@{host.ascii}", f"{local}@{host.ascii}")


def spellings(stored: str) -> tuple[str, ...]:
    """Return all spellings of a stored address under which its account may be stored."""
    address = parse_email(stored)
    return tuple(dict.fromkeys((stored, *address.spellings))) if address else (stored,)


def login_name(given: str) -> LoginName:
    """Return under which spellings to look for the account of a person who signs in."""
    address, before = parse_email(given), fold_as_before(given)
    if address is None:
        return LoginName(before, (), before)
    # Two older accounts may be one mailbox in two spellings: each is found by its own.
    same = sorted(address.spellings, key=lambda one: one != before)
    return LoginName(address.identity, tuple(same), before)


def fold_as_before(given: str) -> str:
    """Fold an address as until 2026-12: by NFKC and case, domains too."""
    folded = unicodedata.normalize("NFKC", given).strip().casefold()
    folded = unicodedata.normalize("NFKC", folded)
    return folded if _BEFORE.fullmatch(folded) else given.casefold()


def _local(given: str) -> str | None:
    composed = hostname.compose(given)
    if composed is None or not 1 <= len(given) <= _LONGEST_LOCAL:
        return None
    if not _DOT_ATOM.fullmatch(composed) or unicodedata.normalize("NFKC", composed) != composed:
        return None
    others = "".join(one for one in composed if not one.isascii())
    if _INVISIBLE.search(others) or any(
        unicodedata.category(one)[0] not in "LMN" for one in others
    ):
        return None
    if unicodedata.combining(composed[0]):
        return None
    return unicodedata.normalize("NFC", composed.lower())
