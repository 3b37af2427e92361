"""One address, one account, one lockout: whatever way it is spelt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.users import canonical_email


@pytest.mark.parametrize(
    "spelling",
    [
        "ada@acme.example",
        "ADA@ACME.EXAMPLE",
        "  ada@acme.example\n",
        "\N{FULLWIDTH LATIN SMALL LETTER A}da@acme.example",
        "ada\N{FULLWIDTH COMMERCIAL AT}acme.example",
        "\N{MATHEMATICAL BOLD SMALL A}da@acme.example",
    ],
)
def test_every_spelling_of_an_address_is_one(spelling: str) -> None:
    assert canonical_email(spelling) == "ada@acme.example"


def test_letters_that_fold_alike_are_one() -> None:
    assert canonical_email("STRASSE@x.example") == canonical_email("straße@x.example")
    assert canonical_email("ﬁn@x.example") == canonical_email("FIN@x.example")
    composed, decomposed = "jose\N{COMBINING ACUTE ACCENT}@x.example", "josé@x.example"
    assert canonical_email(composed) == canonical_email(decomposed)


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
    ],
)
def test_what_is_no_address_is_none(given_text: str) -> None:
    assert canonical_email(given_text) is None


@given(st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
def test_folding_once_is_folding_for_ever(local: str, domain: str) -> None:
    folded = canonical_email(f"{local}@{domain}")
    if folded is not None:
        assert canonical_email(folded) == folded
        assert canonical_email(f" {folded.upper()} ") in (folded, canonical_email(folded.upper()))
        assert folded.count("@") == 1
        assert not any(letter.isspace() for letter in folded)
