"""Refresh tokens: one text per generation, and everything else is unknown."""

import hashlib
import os
import string
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.families import Minter
from service.kernel import jose

KEY = os.urandom(32)
MINTER = Minter(KEY)
HANDLE = os.urandom(24)
TOKEN, PRESENTED = MINTER.token(HANDLE, 7)
ALPHABET = string.ascii_letters + string.digits + "-_"


def test_what_was_made_is_read_back_as_it_was() -> None:
    assert MINTER.read(TOKEN) == PRESENTED
    assert PRESENTED.handle == HANDLE
    assert PRESENTED.handle_hash == hashlib.sha256(HANDLE).digest()
    assert PRESENTED.generation == 7
    assert PRESENTED.token_hash == hashlib.sha256(TOKEN.encode()).digest()


def test_the_same_generation_is_the_same_text_and_the_next_one_is_known_before_it_is_used() -> None:
    assert MINTER.token(HANDLE, 8) == MINTER.token(HANDLE, 8)
    assert MINTER.token(HANDLE, 8)[0] != TOKEN


def test_every_family_starts_under_a_handle_of_its_own() -> None:
    firsts = [MINTER.first()[1] for _ in range(1000)]
    assert len({first.handle for first in firsts}) == 1000
    assert {first.generation for first in firsts} == {1}
    assert {len(first.handle) for first in firsts} == {24}


def forged() -> Iterator[tuple[str, str]]:
    handle, generation, mac = TOKEN.split(".")
    yield "empty", ""
    yield "truncated", TOKEN[:-1]
    yield "extended", TOKEN + "A"
    yield "padded", TOKEN + "="
    yield "a newline", TOKEN + "\n"
    yield "a blank first", " " + TOKEN
    yield "other case", TOKEN.swapcase()
    yield "another generation", f"{handle}.8.{mac}"
    yield "an earlier generation", f"{handle}.6.{mac}"
    yield "a leading zero", f"{handle}.07.{mac}"
    yield "a sign", f"{handle}.+7.{mac}"
    yield "generation zero", f"{handle}.0.{mac}"
    yield "a huge generation", f"{handle}.{10**9}.{mac}"
    yield "digits of another script", f"{handle}.\N{ARABIC-INDIC DIGIT SEVEN}.{mac}"
    yield "no generation", f"{handle}..{mac}"
    yield "a part more", f"{TOKEN}.{mac}"
    yield "a part less", f"{handle}.{mac}"
    yield "another key's", Minter(os.urandom(32)).token(HANDLE, 7)[0]
    yield "another handle", f"{jose.encode(os.urandom(24))}.{generation}.{mac}"
    yield "100 KB", TOKEN * 1000
    last = ALPHABET.index
    loose = next(
        other
        for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        if other != mac[-1] and jose_loose(mac[:-1] + other) == jose_loose(mac)
    )
    assert last(loose) >= 0
    yield "loose bits at the end", f"{handle}.{generation}.{mac[:-1]}{loose}"


def jose_loose(text: str) -> bytes:
    """Decode as libraries do: the bits nobody needs are ignored."""
    import base64  # noqa: PLC0415

    return base64.urlsafe_b64decode(text + "=")


@pytest.mark.parametrize("given_text", [pytest.param(text, id=name) for name, text in forged()])
def test_what_is_not_byte_for_byte_ours_is_unknown(given_text: str) -> None:
    assert MINTER.read(given_text) is None


@given(st.integers(0, len(TOKEN) - 1), st.sampled_from(ALPHABET + ".=+/ \0ü"))
def test_one_other_letter_anywhere_makes_it_unknown(place: int, letter: str) -> None:
    if TOKEN[place] != letter:
        assert MINTER.read(TOKEN[:place] + letter + TOKEN[place + 1 :]) is None


@given(st.binary(min_size=24, max_size=24), st.integers(1, 10**9 - 1))
def test_any_handle_and_generation_go_there_and_back(handle: bytes, generation: int) -> None:
    text, presented = MINTER.token(handle, generation)
    assert MINTER.read(text) == presented
