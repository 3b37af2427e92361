"""How a key is written: garbage is told from a key by its text alone."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain import apikeys
from service.domain.apikeys import PATTERN, KeyText

LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def test_a_new_key_is_read_as_it_was_written_and_no_two_are_alike() -> None:
    made = [apikeys.new_text() for _ in range(2_000)]
    for one in made:
        assert apikeys.read(one.written()) == one
        assert re.fullmatch(PATTERN, one.written())
    assert len({one.public_id for one in made}) == len({one.secret for one in made}) == len(made)


def test_the_secret_has_the_entropy_it_claims() -> None:
    """Every letter but the first (which 256 bits do not fill) takes every value."""
    secrets = [apikeys.new_text().secret for _ in range(4_000)]
    for place in range(1, 43):
        assert {secret[place] for secret in secrets} == set(LETTERS), place


def test_a_scanner_finds_a_key_in_any_text() -> None:
    key = apikeys.new_text().written()
    for text in (
        key,
        f"key={key}",
        f'"{key}"',
        f"https://x.test/?k={key}&b=1",
        f"Bearer {key}\n",
        f"{key}.{key}"[: len(key) + 9],
        f'{{"log": "first\\n{key}\\tlast"}}',
        f"https://x.test/?next=%2F%3Fk%3D{key}%26b",
        f"MY_{key}",
    ):
        assert re.findall(PATTERN, text) == [key]


def test_a_scanner_finds_no_part_of_a_key() -> None:
    key = apikeys.new_text().written()
    for part in (key[:-1], key[1:], key + "0", key.replace("_", "-"), key[:30] + "_" + key[31:]):
        assert re.findall(PATTERN, part) == []


def test_one_letter_off_anywhere_is_no_key() -> None:
    key = apikeys.new_text().written()
    for place in range(len(key)):
        for letter in {*LETTERS[::7], key[place].swapcase(), "_"} - {key[place]}:
            assert apikeys.read(key[:place] + letter + key[place + 1 :]) is None, place


@pytest.mark.parametrize(
    "bend",
    [
        str.upper,
        str.lower,
        str.swapcase,
        lambda key: f"{key}0",
        lambda key: f"{key}\n",
        lambda key: f" {key}",
        lambda key: f"\N{BYTE ORDER MARK}{key}",
        lambda key: key[1:],
        lambda key: key * 2,
        lambda key: key.replace("tsk_", "tsk_0", 1),
        lambda key: key.replace("_", "-"),
        lambda key: key[:-1] + "\N{FULLWIDTH DIGIT ONE}",
        lambda key: key[:30],
        lambda _: "",
    ],
)
def test_a_bent_key_is_no_key(bend: object) -> None:
    key = apikeys.new_text().written()
    assert apikeys.read(bend(key)) is None  # type: ignore[operator]


def test_truncated_anywhere_is_no_key() -> None:
    key = apikeys.new_text().written()
    assert [n for n in range(len(key)) if apikeys.read(key[:n]) is not None] == []


@settings(max_examples=300)
@given(st.text(max_size=100))
def test_any_text_is_read_without_a_fault(text: str) -> None:
    found = apikeys.read(text)
    assert found is None or found.written() == text


@settings(max_examples=300)
@given(st.text(LETTERS, min_size=12, max_size=12), st.text(LETTERS, min_size=43, max_size=43))
def test_writing_and_reading_are_inverse(public_id: str, secret: str) -> None:
    key = KeyText(public_id, secret)
    assert apikeys.read(key.written()) == key
    assert key.prefix == f"tsk_{public_id}"
