"""What is told as another site is one in every browser; what is not sure is not told."""

import pytest

from service.kernel.sites import surely_cross_site


@pytest.mark.parametrize(
    ("issuer", "origin"),
    [
        ("http://localhost:8080", "http://127.0.0.1:8080"),
        ("http://localhost:8080", "http://[::1]:8080"),
        ("http://127.0.0.1", "http://[::1]"),
        ("http://localhost", "http://app.localhost"),
        ("http://localhost", "https://localhost"),
        ("https://192.0.2.1", "https://192.0.2.2"),
        ("https://auth.example.com", "https://192.0.2.1"),
        ("https://auth.example.com", "https://localhost"),
        ("https://auth.example.com", "https://auth.example.org"),
        ("https://auth.example.com", "https://app.other.com"),
        ("https://auth.example.co.uk", "https://app.other.co.uk"),
        ("https://auth.github.io", "https://app.github.io"),
        ("https://auth", "https://app"),
    ],
)
def test_surely_another_site(issuer: str, origin: str) -> None:
    assert surely_cross_site(issuer, origin)
    assert surely_cross_site(origin, issuer)


@pytest.mark.parametrize(
    ("issuer", "origin"),
    [
        ("http://localhost:8080", "http://localhost:3000"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:3000"),
        ("https://auth.example.com", "https://auth.example.com"),
        ("https://auth.example.com", "https://app.example.com:8443"),
        ("https://auth.example.com", "https://example.com"),
        ("https://auth.example.co.uk", "https://app.example.co.uk"),
        ("https://auth.me.github.io", "https://app.me.github.io"),
        ("https://a.b.suffix.example", "https://c.d.suffix.example"),
    ],
)
def test_the_same_site_or_not_sure(issuer: str, origin: str) -> None:
    assert not surely_cross_site(issuer, origin)
    assert not surely_cross_site(origin, issuer)
