"""Rules for new passwords: a length and block lists, no composition rules (NIST SP 800-63B).

Refused are:

- passwords that attackers know (`known`);
- one or two words of a second, short list: those that head every collection of stolen passwords;
- the person's own e-mail or organization;
- the same behind usual decorations: capitals, digits and signs around it, `0` for `o`, `@` for `a`;
- repetitions, and walks along the alphabet or the keyboard, up to the length that lists contain.
"""

import itertools
import unicodedata
from functools import cache
from pathlib import Path

from service.domain.users.known import KnownPasswords, bare, fold
from service.kernel.refusal import Reason, Refused

LEAST, MOST = 8, 1024
"""The allowed lengths, in code points of NFC, the form in which a password is hashed."""

_WORDS = Path(__file__).with_name("common_passwords.txt")
_UNLEET = str.maketrans("01345678@$!|", "oleasgtbasil")
_ROWS = ("01234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "asdfghjkl", "zxcvbnm")
_SHORTEST_WALK = 3
_SHORTEST_OWN = 3
_LONGEST_NUMBER = 12
"""Characters.  Up to this length, digits and signs alone can be guessed quickly."""
_LONGEST_LISTED = 20
"""Characters.  No list contains longer repetitions and walks."""


def refuse_weak(
    known: KnownPasswords,
    password: str,
    *,
    email: str,
    organization: str,
    field: str = "password",
) -> None:
    """Refuse a new password that is too short, too long, or among the first an attacker tries.

    Refused(INVALID_REQUEST).  Capitals count as small letters, and NFKC equivalents as equal.
    """
    length = len(unicodedata.normalize("NFC", password))
    if not LEAST <= length <= MOST:
        raise Refused(
            Reason.INVALID_REQUEST,
            f"a password has {LEAST} to {MOST} characters",
            fields=(field,),
        )
    own = _own(email, organization)
    if any(one in known or _too_common(fold(one), own) for one in {password, bare(password)}):
        raise Refused(
            Reason.INVALID_REQUEST,
            "this password is too easy to guess: it is common, or one's own e-mail or organization",
            fields=(field,),
        )


def _own(email: str, organization: str) -> frozenset[str]:
    name = organization.casefold()
    words = (email, email.partition("@")[0], name, "".join(name.split()))
    return frozenset(word for word in words if len(word) >= _SHORTEST_OWN)


def _too_common(folded: str, own: frozenset[str]) -> bool:
    if len(folded) <= _LONGEST_LISTED and (_repeats(folded) or _walks(folded)):
        return True
    undecorated = folded.strip("0123456789 .,:;_-+*/!?@#$%&()=~^'\"")
    if not undecorated:
        return len(folded) <= _LONGEST_NUMBER
    spellings = {folded, undecorated, folded.translate(_UNLEET), undecorated.translate(_UNLEET)}
    return not own.isdisjoint(spellings) or any(map(_common_words, spellings))


def _common_words(text: str) -> bool:
    """Whether a text is one or two of the words.  A long text is not, without a search."""
    words, longest = _words(), _longest_word()
    cuts = range(max(3, len(text) - longest), min(longest, len(text) - 3) + 1)
    return text in words or any(text[:cut] in words and text[cut:] in words for cut in cuts)


def _repeats(text: str) -> bool:
    return any(text == (text[:n] * len(text))[: len(text)] for n in range(1, 5))


def _walks(text: str) -> bool:
    """Whether a text consists of runs along the alphabet, the digits or a row of keys."""
    rows = [*_ROWS, *(row[::-1] for row in _ROWS)]
    at = 0
    while at < len(text):
        longest = max(
            (n for n in range(1, len(text) - at + 1) if any(text[at : at + n] in r for r in rows)),
            default=0,
        )
        if longest < _SHORTEST_WALK:
            return False
        at += longest
    return True


@cache
def _words() -> frozenset[str]:
    return frozenset(itertools.chain.from_iterable(map(str.split, _WORDS.read_text().splitlines())))


@cache
def _longest_word() -> int:
    return max(map(len, _words()))
