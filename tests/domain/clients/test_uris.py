"""Addresses of clients: exact, read in one way, and of the schemes that may be.

OAuth 2.1 section 2.3, RFC 8252 sections 7 and 8.
"""

import pytest

from service.domain.clients.uris import LONGEST_URI, is_https, is_origin, is_redirect

WEB = [
    "https://app.example.com",
    "https://app.example.com/",
    "https://app.example.com/callback?tenant=acme&x=%20",
    "https://app.example.com:8443/a/b",
    "https://[2001:db8::1]/callback",
    "http://127.0.0.1/callback",
    "http://127.0.0.1:49152/callback",
    "http://[::1]:8000/callback",
    "http://localhost/callback",
    "http://localhost:3000",
]
NATIVE = ["com.example.app:/callback", "com.example.app://callback", "org.acme.my-app:/a?b=c"]
NEVER = [
    "",
    "/callback",
    "app.example.com/callback",
    "https:",
    "https:///callback",
    "https:app.example.com",
    "HTTPS://app.example.com/callback",
    "http://app.example.com/callback",
    "http://localhost.evil.example/callback",
    "http://127.0.0.1.evil.example/",
    "http://127.1/callback",
    "http://0.0.0.0/callback",
    "https://app.example.com/callback#",
    "https://app.example.com/#top",
    "https://*.example.com/callback",
    "https://app.example.com/*",
    "https://user@app.example.com/callback",
    "https://user:password@app.example.com/callback",
    "https://app.example.com@evil.example/callback",
    "http://localhost@evil.example/callback",
    "https://app.example.com\\@evil.example/",
    "https://app.example.com:0/",
    "https://app.example.com:65536/",
    "https://app.example.com:/",
    "https://app_example.com/",
    "https://-app.example.com/",
    "https://app..example.com/",
    "https://app.example.com./",
    "https://[::1/callback",
    "https://[localhost]/callback",
    "https://app.example.com/call back",
    "https://app.example.com/callback\n",
    "https://app.example.com/%",
    "https://app.example.com/%zz",
    "https://\u00e4pp.example.com/",
    "https://app.example.com/\u00e9",
    f"https://app.example.com/{'a' * LONGEST_URI}",
    "javascript:alert(1)",
    "javascript:/alert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "urn:ietf:wg:oauth:2.0:oob",
    "myapp:/callback",
    "myapp://callback",
    "com.example.app",
    "com.example.app:",
    "com.example.app:callback",
    "com.example.app:/callback#",
    "com.example.app:/*",
    "com.example.app://user@callback",
    "Com.Example.App:/callback",
    ".example:/callback",
    "com..app:/callback",
]


@pytest.mark.parametrize("uri", WEB)
def test_exact_addresses_of_the_web_and_of_this_machine_are_taken(uri: str) -> None:
    assert is_redirect(uri, native=False)
    assert is_redirect(uri, native=True)


@pytest.mark.parametrize("uri", NATIVE)
def test_a_scheme_of_one_s_own_is_for_public_clients_and_has_a_dot(uri: str) -> None:
    assert is_redirect(uri, native=True)
    assert not is_redirect(uri, native=False)


@pytest.mark.parametrize("uri", NEVER)
def test_what_is_inexact_or_read_in_two_ways_is_refused(uri: str) -> None:
    assert not is_redirect(uri, native=True)
    assert not is_redirect(uri, native=False)


def test_the_longest_is_taken() -> None:
    assert is_redirect("https://a.example/".ljust(LONGEST_URI, "a"), native=False)
    assert not is_redirect("https://a.example/".ljust(LONGEST_URI + 1, "a"), native=False)


@pytest.mark.parametrize(
    ("origin", "good"),
    [
        ("https://app.example.com", True),
        ("https://app.example.com:8443", True),
        ("http://localhost:3000", True),
        ("https://app.example.com/", False),
        ("https://app.example.com?", False),
        ("https://app.example.com:443", False),
        ("http://localhost:80", False),
        ("https://App.example.com", False),
        ("http://app.example.com", False),
        ("null", False),
        ("*", False),
    ],
)
def test_an_origin_is_as_browsers_send_it(origin: str, *, good: bool) -> None:
    assert is_origin(origin) == good


def test_a_page_for_people_is_https_wherever_it_is() -> None:
    assert is_https("https://app.example.com/terms")
    assert not is_https("http://localhost/terms")
