"""kernel/jose against joserfc, token by token, in both directions."""

import json
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from service.kernel import jose
from service.kernel.jose import Algorithm

ALGORITHMS: tuple[Algorithm, ...] = ("ES256", "RS256", "EdDSA")
KINDS: dict[Algorithm, Any] = {"ES256": ECKey, "RS256": RSAKey, "EdDSA": OKPKey}
PEMS = {algorithm: jose.generate(algorithm) for algorithm in ALGORITHMS}
KEYS = {algorithm: jose.Key(algorithm, pem) for algorithm, pem in PEMS.items()}
payloads = st.dictionaries(st.text(max_size=10), st.text(max_size=20), max_size=5)
each = pytest.mark.parametrize("algorithm", ALGORITHMS)


def theirs(algorithm: Algorithm, *, private: bool) -> Any:
    """Return joserfc's key: our PEM, or what anyone can read in our JWKS."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind = KINDS[algorithm]
        return kind.import_key(PEMS[algorithm] if private else dict(KEYS[algorithm].jwk))


def their_verdict(token: str, algorithm: Algorithm) -> bytes | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            key = theirs(algorithm, private=False)
            return jws.deserialize_compact(token, key, algorithms=[algorithm]).payload
    except (JoseError, ValueError):
        return None


def our_verdict(token: str, algorithm: Algorithm) -> bytes | None:
    head, _, signature = token.rpartition(".")
    try:
        given = jose.decode(signature)
    except ValueError:
        return None
    genuine = KEYS[algorithm].verifies(head.encode(), given)
    return jose.decode(head.partition(".")[2]) if genuine else None


@each
@given(claims=payloads)
def test_they_accept_what_we_sign(algorithm: Algorithm, claims: dict[str, str]) -> None:
    payload = json.dumps(claims).encode()
    assert their_verdict(KEYS[algorithm].sign(payload), algorithm) == payload


@each
@given(claims=payloads)
def test_we_accept_what_they_sign(algorithm: Algorithm, claims: dict[str, str]) -> None:
    payload = json.dumps(claims).encode()
    header = {"alg": algorithm, "kid": KEYS[algorithm].kid, "typ": jose.ACCESS_TOKEN}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        key = theirs(algorithm, private=True)
        token = jws.serialize_compact(header, payload, key, algorithms=[algorithm])
    assert token.partition(".")[0] == KEYS[algorithm].header
    assert our_verdict(token, algorithm) == payload


@each
@given(data=st.data())
def test_we_agree_on_a_token_with_one_letter_changed(
    algorithm: Algorithm, data: st.DataObject
) -> None:
    token = KEYS[algorithm].sign(b'{"sub":"someone"}')
    start = token.rindex(".") + 1
    place = data.draw(st.integers(start, len(token) - 2))
    letter = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPabcdefghijklmnop0123456789-_"))
    changed = token[:place] + letter + token[place + 1 :]
    assert our_verdict(changed, algorithm) == their_verdict(changed, algorithm)
    assert (our_verdict(changed, algorithm) is not None) == (changed == token)


@each
@given(signature=st.binary(max_size=300))
def test_we_agree_on_any_bytes_for_a_signature(algorithm: Algorithm, signature: bytes) -> None:
    head = KEYS[algorithm].sign(b"{}").rpartition(".")[0]
    token = f"{head}.{jose.encode(signature)}"
    assert our_verdict(token, algorithm) is their_verdict(token, algorithm) is None


@each
def test_a_kid_is_the_thumbprint_that_joserfc_computes_from_the_public_key(
    algorithm: Algorithm,
) -> None:
    assert KEYS[algorithm].kid == theirs(algorithm, private=False).thumbprint()


@given(st.binary(max_size=100))
def test_base64url_goes_there_and_back(raw: bytes) -> None:
    assert jose.decode(jose.encode(raw)) == raw


@pytest.mark.parametrize(
    "text", ["A", "YQ==", "YQ=", "YR", "a+b/", "a b", "YWI\n", "=", "ü", "YQ.YQ", "////"]
)
def test_base64url_that_nobody_would_have_written_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        jose.decode(text)
