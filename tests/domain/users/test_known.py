"""The table of known passwords: whole, quick, found in every case, and the operator's own."""

import hashlib
import random
import string
import time
from pathlib import Path

import pytest

from service.domain.users import KnownPasswords
from service.domain.users.known import DIGEST_BYTES, TABLE, pack
from service.domain.users.passwords import refuse_weak
from service.kernel.refusal import Refused

KNOWN = KnownPasswords()
HEAD = [
    "password",
    "12345678",
    "123456789",
    "baseball",
    "football",
    "qwertyuiop",
    "1234567890",
    "superman",
    "1qaz2wsx",
    "trustno1",
    "jennifer",
    "sunshine",
    "starwars",
    "computer",
    "michelle",
    "corvette",
    "princess",
    "victoria",
    "midnight",
    "marlboro",
    "q1w2e3r4",
    "q1w2e3r4t5",
    "liverpool",
    "asdfasdf",
    "1q2w3e4r",
    "mountain",
    "dolphins",
    "elephant",
    "startrek",
    "4815162342",
    "butthead",
    "1qazxsw2",
    "11223344",
    "godzilla",
    "airborne",
    "blink182",
    "12qwaszx",
    "snowball",
    "pakistan",
    "redwings",
    "metallica",
    "zaq12wsx",
    "drowssap",
    "einstein",
    "aleksandr",
    "basketball",
    "scorpion",
    "slipknot",
    "cocacola",
    "ncc1701d",
    "pizzaman",
    "montecar",
    "maserati",
]
"""From the head of the public list of 10 million."""


def test_the_table_is_the_one_that_was_built() -> None:
    table = TABLE.read_bytes()
    assert hashlib.sha256(table).hexdigest() in TABLE.with_name("SOURCES.md").read_text()
    digests = [table[at : at + DIGEST_BYTES] for at in range(0, len(table), DIGEST_BYTES)]
    assert len(KNOWN) == len(digests) == 200_000
    assert digests == sorted(set(digests))


@pytest.mark.parametrize("password", HEAD)
def test_a_known_password_is_found_in_every_case(password: str) -> None:
    for spelling in (password, password.upper(), password.title(), password.swapcase()):
        assert spelling in KNOWN


def test_what_only_looks_alike_is_found() -> None:
    fullwidth = "".join(chr(ord(letter) + 0xFEE0) for letter in "midnight")
    assert fullwidth in KNOWN
    assert "солнышко" in KNOWN
    assert "СОЛНЫШКО" in KNOWN


def test_what_nobody_knows_is_not_found() -> None:
    chance = random.Random(7)
    letters = string.ascii_lowercase + string.digits
    made = ["".join(chance.choices(letters, k=14)) for _ in range(20_000)]
    assert [password for password in made if password in KNOWN] == []
    assert "" not in KNOWN
    assert "midnight " not in KNOWN


def test_a_look_takes_microseconds() -> None:
    began = time.process_time()
    for _ in range(100):
        assert all(password in KNOWN for password in HEAD)
    assert (time.process_time() - began) / (100 * len(HEAD)) < 200e-6


@pytest.mark.parametrize("count", range(5))
def test_the_first_the_last_and_no_other_of_a_small_table_is_found(
    tmp_path: Path, count: int
) -> None:
    words = [f"zq-{n}-vjkwx" for n in range(count)]
    own = tmp_path / "known.txt"
    own.write_text("\n".join(words))
    known = KnownPasswords(own)
    assert len(known) == 200_000 + count
    assert all(word.upper() in known for word in words)
    assert f"zq-{count}-vjkwx" not in known
    assert len(pack(words + words)) == count * DIGEST_BYTES


def test_an_operator_s_file_is_read_as_people_write_it(tmp_path: Path) -> None:
    own = tmp_path / "known.txt"
    own.write_bytes("\ufeffTesserra-Winter\r\n\r\n  zwei leer  \nGr\u0075\u0308ne Woche\n".encode())
    known = KnownPasswords(own)
    assert len(known) == 200_000 + 3
    for password in ("tesserra-winter", "  Zwei Leer  ", "gr\u00fcne woche"):
        assert password in known
    assert "zwei leer" not in known


def test_an_operator_s_file_that_cannot_be_taken_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latin, long = tmp_path / "latin.txt", tmp_path / "long.txt"
    latin.write_bytes("gr\u00fcn".encode("latin-1"))
    long.write_text("one\ntwo\nthree\n")
    monkeypatch.setattr("service.domain.users.known._MOST_LINES", 2)
    for own, why in (
        (tmp_path / "none.txt", "cannot be read"),
        (tmp_path, "cannot be read"),
        (latin, "is not UTF-8"),
        (long, "more than 2 lines"),
    ):
        with pytest.raises(ValueError, match=why) as caught:
            KnownPasswords(own)
        assert str(own) in str(caught.value)


@pytest.mark.parametrize(
    "password",
    [
        "midnight ",
        "\tmidnight",
        "mid\u00adnight",
        "midnight\u200b",
        "midnight\ufe0f",
        "midnight\x00",
    ],
)
def test_what_nobody_sees_makes_no_other_password(password: str) -> None:
    with pytest.raises(Refused, match="too easy to guess"):
        refuse_weak(KNOWN, password, email="a@b.example", organization="", field="password")
