"""New passwords: long enough, and not the first thing an attacker tries."""

import unicodedata

import pytest

from service.domain.users import KnownPasswords, refuse_weak
from service.kernel.refusal import Reason, Refused

KNOWN = KnownPasswords()

GOOD = [
    "correct unicorn paperclip",
    "mzqpwvtk",
    "\N{PILE OF POO}" * 3 + "x7 q\N{PILE OF POO}z",
    "нечто совсем иное",
    "a" * 3 + "k9 w2 z" * 50,
    "xq\0vjwkzpt",
    "adacmeqx",
    "x7#Lq9!v",
    "\N{GRINNING FACE}" * 64,
    "x" * 1024,
    "839201746650281937465",
    "\N{GRINNING FACE}\N{CRAB}\N{ROCKET}\N{OWL}\N{SLICE OF PIZZA}\N{KEY}\N{SNAIL}\N{ANCHOR}" * 8,
    "zażółć gęślą jaźń",
    "  eight s paces  ",
    "qX" + "v9#" * 340 + "zw",
    unicodedata.normalize("NFD", "éäöüñå") * 170 + "q!7K",
]


def refused(password: str) -> str:
    with pytest.raises(Refused) as caught:
        refuse_weak(KNOWN, password, email="ada.lovelace@acme.example", organization="Acme Rockets")
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert caught.value.fields == ("password",)
    assert password not in caught.value.public or len(password) < 9
    return caught.value.public


@pytest.mark.parametrize("password", GOOD)
def test_a_good_password_is_taken_whatever_it_is_made_of(password: str) -> None:
    refuse_weak(KNOWN, password, email="ada@acme.example", organization="Acme")


@pytest.mark.parametrize(
    "password",
    [
        "password",
        "Password1",
        "P@ssw0rd!",
        "passw0rd",
        "password123",
        "!!password!!",
        "12345678",
        "123456789",
        "87654321",
        "11111111",
        "abcabcabc",
        "aaaaaaaa",
        "aaaaaaaaaaaa",
        "abababababab",
        "PASSWORD",
        "19751224",
        "2024-12-24!",
        "abcdefgh",
        "qwertyuiop",
        "asdfghjkl",
        "qwerty123",
        "letmein1",
        "iloveyou",
        "Welcome2024",
        "welcomewelcome",
        "pass\N{FULLWIDTH LATIN SMALL LETTER W}ord",
    ],
)
def test_what_everyone_tries_first_is_refused(password: str) -> None:
    assert "easy to guess" in refused(password)


@pytest.mark.parametrize(
    "password",
    [
        "ada.lovelace@acme.example",
        "ADA.LOVELACE@ACME.EXAMPLE",
        "ada.lovelace",
        "Ada.Lovelace1815!",
        "acme rockets",
        "AcmeRockets",
        "!Acm3R0ck3ts2026",
    ],
)
def test_one_s_own_e_mail_and_organization_are_refused(password: str) -> None:
    assert "easy to guess" in refused(password)


@pytest.mark.parametrize("length", [0, 1, 7, 1025, 5000])
def test_length_has_two_ends(length: int) -> None:
    assert "8 to 1024" in refused(("zq7 vk!" * 1000)[:length])


def test_length_is_counted_in_code_points_after_nfc() -> None:
    decomposed = unicodedata.normalize("NFD", "éàüöñçîô")
    assert len(decomposed) == 16
    refuse_weak(KNOWN, decomposed, email="a@x.example", organization="x")
    assert "8 to 1024" in refused(unicodedata.normalize("NFD", "éàüöñçî"))
    longest = "".join(f"{n}\N{PILE OF POO}" for n in range(400))[:1024]
    assert len(longest.encode()) > 1024
    refuse_weak(KNOWN, longest, email="a@x.example", organization="x")
