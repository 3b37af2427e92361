"""One address, one account, one lockout; and no address that is another's, or nobody's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.users import login_name, parse_email, spellings
from service.domain.users.emails import fold_as_before


def identity(text: str) -> str | None:
    address = parse_email(text)
    return address.identity if address else None


@pytest.mark.parametrize(
    "spelling", ["ada@acme.example", "ADA@ACME.EXAMPLE", " ada@acme.example\n"]
)
def test_every_spelling_of_an_address_is_one(spelling: str) -> None:
    assert identity(spelling) == "ada@acme.example"
    assert login_name(spelling).subject == "ada@acme.example"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("anna@straße.example", "anna@strasse.example"),
        ("nikos@πόλις.example", "nikos@πόλισ.example"),
        ("straße@acme.example", "strasse@acme.example"),
        ("\N{LATIN SMALL LETTER DOTLESS I}an@acme.example", "ian@acme.example"),
        ("anna@naïve.example", "anna@naive.example"),
    ],
)
def test_what_folding_would_make_one_are_two(one: str, other: str) -> None:
    assert identity(one) == one
    assert identity(other) == other


@pytest.mark.parametrize(
    ("given_text", "told", "mailbox"),
    [
        ("Ada@ACME.Example", "ada@acme.example", "Ada@acme.example"),
        ("anna@straße.example", "anna@straße.example", "anna@xn--strae-oqa.example"),
        ("anna@xn--strae-oqa.example", "anna@straße.example", "anna@xn--strae-oqa.example"),
        ("anna@XN--STRAE-OQA.example", "anna@straße.example", "anna@xn--strae-oqa.example"),
        ("max@BÜCHER.example", "max@bücher.example", "max@xn--bcher-kva.example"),
        ("JOSÉ@acme.example", "josé@acme.example", "JOSÉ@acme.example"),
        ("jose\u0301@acme.example", "josé@acme.example", "jose\u0301@acme.example"),
        ("用户@例子.example", "用户@例子.example", "用户@xn--fsqu00a.example"),
        ("o'brien+x{y}@acme.example", "o'brien+x{y}@acme.example", "o'brien+x{y}@acme.example"),
    ],
)
def test_mail_goes_where_it_was_asked_to_go(given_text: str, told: str, mailbox: str) -> None:
    address = parse_email(given_text)
    assert address is not None
    assert (address.identity, address.mailbox) == (told, mailbox)
    assert identity(told) == identity(address.identity_ascii) == told


@pytest.mark.parametrize(
    "given_text",
    [
        "",
        "@",
        "ada",
        "ada@",
        "@acme.example",
        "ada@@acme.example",
        "a@b@c",
        "ada lovelace@acme.example",
        "ada@acme\0.example",
        "ada@acme.example\r\nBcc: eve@evil.example",
        "ada<script>@acme.example",
        '"ada"@acme.example',
        "ada,eve@acme.example",
        "a" * 65 + "@acme.example",
        "ada@" + "a" * 256,
        ".ada@acme.example",
        "ada.@acme.example",
        "a..da@acme.example",
        "ada@acme.example.",
        "ada@acme_example",
        "ada@192.0.2.1",
        "ada@[192.0.2.1]",
        "\N{FULLWIDTH LATIN SMALL LETTER A}da@acme.example",
        "ada\N{FULLWIDTH COMMERCIAL AT}acme.example",
        "ada@\N{FULLWIDTH LATIN SMALL LETTER A}cme.example",
        "ada@acme\N{IDEOGRAPHIC FULL STOP}example",
        "\N{MATHEMATICAL BOLD SMALL A}da@acme.example",
        "\N{LATIN SMALL LIGATURE FI}n@acme.example",
        "\N{KELVIN SIGN}im@acme.example",
        "\u0301ada@acme.example",
        "a\N{GRINNING FACE}@acme.example",
        *(f"a{hidden}da@acme.example" for hidden in "\u200b\u200c\u200d\u00ad\u2060\ufeff"),
        *(f"ada@ac{hidden}me.example" for hidden in "\u200b\u200c\u200d\u00ad\u2060\ufeff"),
        *(f"a{bidi}da@acme.example" for bidi in "\u200e\u200f\u061c\u202a\u202e\u2066\u2069"),
        *(f"a{blank}da@acme.example" for blank in "\u034f\u115f\u17b4\u180b\u3164\ufe0f\U000e0100"),
        *(f"a{none}da@acme.example" for none in "\u0378\ue000\uffff\U000e0001"),
    ],
)
def test_what_is_no_address_is_no_identity(given_text: str) -> None:
    assert parse_email(given_text) is None
    name = login_name(given_text)  # an account of before may have it, and no other
    assert (name.spellings, name.folded_before) == ((), fold_as_before(given_text))


def test_an_account_of_before_is_found_by_what_folding_made() -> None:
    name = login_name("Anna@straße.example")
    assert name.spellings == ("anna@straße.example", "anna@xn--strae-oqa.example")
    assert name.folded_before == "anna@strasse.example"
    hidden = login_name("a\u200bda@acme.example")
    assert (hidden.spellings, hidden.folded_before) == ((), "a\u200bda@acme.example")


def test_of_two_spellings_on_file_each_is_found_first_by_its_own() -> None:
    for typed in ("max@bücher.example", "max@xn--bcher-kva.example"):
        assert login_name(typed).spellings[0] == typed
        assert login_name(typed).subject == "max@bücher.example"
        assert set(spellings(typed)) == {"max@bücher.example", "max@xn--bcher-kva.example"}


@given(st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
def test_folding_once_is_folding_for_ever(local: str, domain: str) -> None:
    address = parse_email(f"{local}@{domain}")
    if address is not None:
        again = parse_email(address.identity)
        assert again is not None
        assert (again.identity, again.identity_ascii) == (address.identity, address.identity_ascii)
        assert parse_email(address.mailbox) == address
        assert address.identity.count("@") == 1
        assert address.mailbox.partition("@")[2].isascii()
        assert not any(letter.isspace() for letter in address.identity)


@given(st.text(max_size=20))
def test_whatever_is_typed_is_looked_for(text: str) -> None:
    assert len(login_name(text).spellings) <= 2
    assert isinstance(fold_as_before(text), str)
