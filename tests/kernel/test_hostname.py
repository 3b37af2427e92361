"""Domain names: those of IDNA 2008, each itself and no other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.kernel import hostname
from service.kernel.hostname import Hostname


@pytest.mark.parametrize(
    ("given_text", "told"),
    [
        ("acme.example", Hostname("acme.example", "acme.example")),
        ("ACME.Example", Hostname("acme.example", "acme.example")),
        ("localhost", Hostname("localhost", "localhost")),
        ("straße.example", Hostname("straße.example", "xn--strae-oqa.example")),
        ("STRAßE.example", Hostname("straße.example", "xn--strae-oqa.example")),
        ("xn--strae-oqa.example", Hostname("straße.example", "xn--strae-oqa.example")),
        ("XN--STRAE-OQA.example", Hostname("straße.example", "xn--strae-oqa.example")),
        ("strasse.example", Hostname("strasse.example", "strasse.example")),
        ("πόλις.example", Hostname("πόλις.example", "xn--uxadok1c.example")),
        ("Πόλις.example", Hostname("πόλις.example", "xn--uxadok1c.example")),
        ("πόλισ.example", Hostname("πόλισ.example", "xn--uxadoo6b.example")),
        ("BÜCHER.example", Hostname("bücher.example", "xn--bcher-kva.example")),
        ("bu\u0308cher.example", Hostname("bücher.example", "xn--bcher-kva.example")),
    ],
)
def test_a_domain_is_itself_in_either_form(given_text: str, told: Hostname) -> None:
    assert hostname.parse(given_text) == told
    assert hostname.parse(told.ascii) == hostname.parse(told.unicode) == told


@pytest.mark.parametrize(
    "given_text",
    [
        "",
        ".",
        "acme..example",
        "acme.example.",
        ".acme.example",
        "a_b.example",
        "-a.example",
        "ab--cd.example",
        "a" * 64 + ".example",
        ".".join(["a" * 60] * 5),
        "192.0.2.1",
        "ac me.example",
        "ΠΌΛΙΣ.example",
        "STRA\N{LATIN CAPITAL LETTER SHARP S}E.example",
        "\N{FULLWIDTH LATIN SMALL LETTER A}cme.example",
        "acme\N{IDEOGRAPHIC FULL STOP}example",
        "ac\N{KELVIN SIGN}.example",
        "ac\N{KELVIN SIGN}u\u0308.example",
        "\N{LATIN SMALL LIGATURE FI}n.example",
        "acme\u200b.example",
        "acme\u00ad.example",
        "acme\u200d.example",
        "acme\u202e.example",
        "acme\u0378.example",
        "\N{SNOWMAN}.example",
        "xn--n3h.example",
        "xn--a.example",
        "xn--.example",
        "א1a.example",
    ],
)
def test_what_idna_2008_does_not_know_is_none(given_text: str) -> None:
    assert hostname.parse(given_text) is None


@given(st.text(min_size=1, max_size=20))
def test_reading_once_is_reading_for_ever(text: str) -> None:
    told = hostname.parse(text)
    if told is not None:
        assert told.ascii.isascii()
        assert hostname.parse(told.unicode) == hostname.parse(told.ascii) == told
