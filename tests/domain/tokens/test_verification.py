"""Attacks on access tokens (notes: A01 to A12).  Numbers name the attack, not a file."""

import base64
import hashlib
import hmac
import json
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from service.domain.tokens import Claims, Tokens
from service.kernel import jose
from service.kernel.refusal import Reason, Refused

ISSUER = "https://auth.example"
AT = datetime(2030, 1, 1, tzinfo=UTC)
NOW = int(AT.timestamp())
P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
PEM = jose.generate("ES256")
KEY, OTHER = jose.Key("ES256", PEM), jose.Key("ES256", jose.generate("ES256"))
RSA = jose.Key("RS256", jose.generate("RS256"))
CLAIMS = Claims(
    iss=ISSUER,
    sub="0198c0de-0000-7000-8000-000000000001",
    aud=ISSUER,
    exp=NOW + 900,
    iat=NOW,
    jti="0198c0de-0000-7000-8000-000000000002",
    client_id="console",
    scope="agentes",
    sid="0198c0de-0000-7000-8000-000000000003",
)
PAYLOAD: dict[str, Any] = {
    name: getattr(CLAIMS, name)
    for name in ("iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "sid")
}


@pytest.fixture
def tokens() -> Tokens:
    by_header = {key.header: key for key in (KEY, RSA)}
    return Tokens(ISSUER, ISSUER, by_header.get)


@pytest.fixture
def refuses(tokens: Tokens) -> Callable[..., None]:
    """Assert that a token is refused, twice, as unauthenticated."""

    def check(token: str, at: datetime = AT) -> None:
        for _ in range(2):
            with pytest.raises(Refused) as caught:
                tokens.verify(token, at)
            assert caught.value.reason is Reason.UNAUTHENTICATED
            assert not caught.value.public
            assert token[:40] not in str(caught.value) or not token

    return check


def header(**fields: object) -> str:
    plain = {"alg": "ES256", "kid": KEY.kid, "typ": "at+jwt"}
    return jose.encode(json.dumps({**plain, **fields}, separators=(",", ":")).encode())


def payload(**claims: object) -> bytes:
    return json.dumps({**PAYLOAD, **claims}, separators=(",", ":")).encode()


def signed(head: str, body: bytes, key: jose.Key = KEY) -> str:
    """Sign under any header with a key of ours: as good as an attacker could ever get."""
    text = f"{head}.{jose.encode(body)}"
    return f"{text}.{jose.encode(key._signature(text.encode()))}"


GENUINE = signed(header(), payload())


def test_a_genuine_token_is_accepted_again_and_again(tokens: Tokens) -> None:
    for _ in range(3):
        assert tokens.verify(GENUINE, AT) == replace(CLAIMS, kid=KEY.kid)
    assert tokens.verify(tokens.mint(RSA, CLAIMS), AT) == replace(CLAIMS, kid=RSA.kid)


def public_bytes() -> list[bytes]:
    """Every encoding of our public key that somebody might take for an HMAC secret."""
    public = serialization.load_pem_private_key(PEM, None).public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    ssh = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    point = public.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    jwk = json.dumps(KEY.jwk).encode()
    compact = json.dumps(KEY.jwk, separators=(",", ":")).encode()
    return [pem, pem.strip(), der, ssh, point, jwk, compact, b""]


@pytest.mark.parametrize("secret", public_bytes(), ids=range(8))
@pytest.mark.parametrize("head", [header(alg="HS256"), header()], ids=["HS256", "our header"])
def test_a01_an_hmac_under_our_public_key_is_no_signature(
    refuses: Callable[..., None], head: str, secret: bytes
) -> None:
    text = f"{head}.{jose.encode(payload())}"
    mac = hmac.digest(secret, text.encode(), hashlib.sha256)
    refuses(f"{text}.{jose.encode(mac)}")


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", None, "ES384", "RS256"])
@pytest.mark.parametrize("signature", ["", GENUINE.rpartition(".")[2]], ids=["none", "genuine"])
def test_a01_no_other_algorithm_is_argued_into_us(
    refuses: Callable[..., None], alg: str | None, signature: str
) -> None:
    refuses(f"{header(alg=alg)}.{jose.encode(payload())}.{signature}")


def test_a01_one_key_s_header_does_not_carry_another_key_s_signature(
    refuses: Callable[..., None],
) -> None:
    refuses(signed(KEY.header, payload(), RSA))
    refuses(signed(RSA.header, payload(), KEY))
    refuses(signed(header(alg="RS256"), payload(), KEY))


def test_a02_a_key_that_the_token_brings_along_is_not_used(refuses: Callable[..., None]) -> None:
    refuses(signed(header(jwk=OTHER.jwk), payload(), OTHER))
    refuses(signed(header(jwk=OTHER.jwk, kid=OTHER.kid), payload(), OTHER))
    refuses(signed(OTHER.header, payload(), OTHER))
    refuses(signed(header(jwk=KEY.jwk), payload()))


@pytest.mark.parametrize("member", ["jku", "x5u", "x5c"])
def test_a03_nothing_the_token_points_at_is_fetched(
    refuses: Callable[..., None], member: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/jwks.json"
        refuses(signed(header(**{member: url}), payload()))
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize(
    "extra",
    [
        {"crit": ["bork"]},
        {"crit": ["b64"], "b64": False},
        {"crit": []},
        {"b64": False},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"extra": 1},
    ],
)
def test_a04_a_header_with_more_than_we_write_is_refused(
    refuses: Callable[..., None], extra: dict[str, object]
) -> None:
    refuses(signed(header(**extra), payload()))


@pytest.mark.parametrize(
    "kid",
    ["../../dev/null", "' OR 1=1--", "\0", "x" * 100_000, {}, [], None, 7, "", KEY.kid.lower()],
    ids=range(10),
)
def test_a05_a_kid_names_one_of_our_keys_or_nothing(
    refuses: Callable[..., None], kid: object
) -> None:
    refuses(signed(header(kid=kid), payload()))


def test_a05_a_header_without_a_kid_is_refused(refuses: Callable[..., None]) -> None:
    bare = jose.encode(b'{"alg":"ES256","typ":"at+jwt"}')
    refuses(signed(bare, payload()))


@pytest.mark.parametrize(
    "head",
    [
        json.dumps({"typ": "at+jwt", "alg": "ES256", "kid": KEY.kid}, separators=(",", ":")),
        json.dumps({"alg": "ES256", "kid": KEY.kid, "typ": "at+jwt"}),
        f'{{"alg":"none","alg":"ES256","kid":"{KEY.kid}","typ":"at+jwt"}}',
        f'{{"alg":"ES256","kid":"{KEY.kid}","typ":"at+jwt"}} ',
    ],
    ids=["other order", "blanks", "alg twice", "a blank at the end"],
)
def test_a05_a_header_that_only_means_the_same_is_refused(
    refuses: Callable[..., None], head: str
) -> None:
    refuses(signed(jose.encode(head.encode()), payload()))


@pytest.mark.parametrize("length", [4097, 100_000, 10_000_000])
def test_a06_a_huge_token_is_refused_at_once(refuses: Callable[..., None], length: int) -> None:
    began = time.perf_counter()
    refuses("x" * length)
    refuses(GENUINE + "x" * length)
    refuses("." * length)
    assert time.perf_counter() - began < 0.5


MISSHAPEN = [
    "",
    ".",
    "..",
    "...",
    "....",
    GENUINE + ".",
    "." + GENUINE,
    GENUINE + "." + GENUINE.rpartition(".")[2],
    f"{header(alg='dir', enc='A256GCM', zip='DEF')}..AAAA.AAAA.AAAA",
    f"{header(alg='PBES2-HS256+A128KW', enc='A128GCM', p2c=2**31 - 1)}.A.A.A.A",
    GENUINE.rpartition(".")[0],
    GENUINE.rpartition(".")[0] + ".",
    GENUINE + "=",
    GENUINE + "\n",
    " " + GENUINE,
    GENUINE + " ",
    GENUINE[:-1],
    GENUINE + "A",
    GENUINE.replace(".", "。"),
    "\ud800",
    "ü" * 100,
    GENUINE.swapcase(),
    json.dumps({"payload": GENUINE.split(".")[1], "signatures": []}),
]


@pytest.mark.parametrize("token", MISSHAPEN, ids=range(len(MISSHAPEN)))
def test_a07_what_is_not_three_parts_of_ours_is_refused(
    refuses: Callable[..., None], token: str
) -> None:
    refuses(token)


@pytest.mark.parametrize("claim", ["iss", "aud"])
@pytest.mark.parametrize(
    "value",
    [
        ISSUER + "/",
        ISSUER + ".evil.example",
        ISSUER[:-1],
        ISSUER[1:],
        ISSUER.upper(),
        ISSUER + " ",
        "",
        [ISSUER],
        [ISSUER, "https://other.example"],
        {"0": ISSUER},
        None,
        True,
    ],
)
def test_a08_issuer_and_audience_are_one_string_to_the_letter(
    refuses: Callable[..., None], claim: str, value: object
) -> None:
    refuses(signed(header(), payload(**{claim: value})))


@pytest.mark.parametrize(
    "cnf",
    [{"jkt": "x"}, {"x5t#S256": "x"}, {"jwk": {}}, {"unknown": 1}, {}, None, 7, "jkt", [], False],
)
def test_a_token_that_is_bound_to_a_key_is_refused_and_it_is_said_why(
    tokens: Tokens, cnf: object
) -> None:
    for _ in range(2):
        with pytest.raises(Refused, match="bound to a key") as caught:
            tokens.verify(signed(header(), payload(cnf=cnf)), AT)
        assert caught.value.reason is Reason.UNAUTHENTICATED
        assert "cnf" in caught.value.public


@pytest.mark.parametrize("typ", ["JWT", "jwt", "AT+JWT", "application/at+jwt", "logout+jwt", None])
def test_a09_a_token_of_another_type_is_no_access_token(
    refuses: Callable[..., None], typ: str | None
) -> None:
    refuses(signed(header(typ=typ), payload()))


def test_a10_the_other_form_of_a_signature_names_the_same_jti_and_dies_with_it(
    tokens: Tokens,
) -> None:
    """Whoever knows (r, s) knows (r, n - s): revocation must never go by a token's text."""
    head, _, signature = GENUINE.rpartition(".")
    raw = jose.decode(signature)
    s = int.from_bytes(raw[32:])
    other = jose.encode(raw[:32] + (P256 - s).to_bytes(32))
    twin = tokens.verify(f"{head}.{other}", AT)
    assert other != signature
    assert (twin.jti, twin.sid, twin.kid) == (CLAIMS.jti, CLAIMS.sid, KEY.kid)


@pytest.mark.parametrize(
    ("r", "s"), [(0, 0), (0, 1), (1, 0), (P256, 1), (1, P256), (2**256 - 1, 2**256 - 1)]
)
def test_a10_numbers_off_the_curve_s_order_are_no_signature(
    refuses: Callable[..., None], r: int, s: int
) -> None:
    head = GENUINE.rpartition(".")[0]
    refuses(f"{head}.{jose.encode(r.to_bytes(32) + s.to_bytes(32))}")


def test_a10_a_signature_in_der_is_refused(refuses: Callable[..., None]) -> None:
    key = serialization.load_pem_private_key(PEM, None)
    head = GENUINE.rpartition(".")[0]
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    refuses(f"{head}.{jose.encode(key.sign(head.encode(), jose._ECDSA))}")


@pytest.mark.parametrize(
    ("by", "good"), [(-900, True), (9.999, True), (10, False), (11, False), (86_400, False)]
)
def test_a11_expiry_has_ten_seconds_of_leeway(tokens: Tokens, by: float, *, good: bool) -> None:
    at = datetime.fromtimestamp(CLAIMS.exp, UTC) + timedelta(seconds=by)
    if good:
        assert tokens.verify(GENUINE, at)
    else:
        tokens.verify(GENUINE, AT)  # remembered, and yet
        with pytest.raises(Refused, match="expired"):
            tokens.verify(GENUINE, at)


@pytest.mark.parametrize(("by", "good"), [(10, True), (11, False), (61, False)])
def test_a11_issue_in_the_future_has_ten_seconds_of_leeway(
    tokens: Tokens, by: int, *, good: bool
) -> None:
    token = signed(header(), payload(iat=NOW + by, exp=NOW + 900))
    if good:
        assert tokens.verify(token, AT)
    else:
        with pytest.raises(Refused, match="future"):
            tokens.verify(token, AT)


@pytest.mark.parametrize("claim", ["exp", "iat"])
@pytest.mark.parametrize(
    "value",
    [
        '"2000000000"',
        "true",
        "false",
        "null",
        "1e400",
        "-1e400",
        "NaN",
        "Infinity",
        "[]",
        "{}",
        "2000000000.5",
        "0x7f",
        "",
    ],
)
def test_a11_a_time_is_a_whole_number_and_nothing_like_it(
    refuses: Callable[..., None], claim: str, value: str
) -> None:
    body = payload().replace(f'"{claim}":{PAYLOAD[claim]}'.encode(), f'"{claim}":{value}'.encode())
    assert value.encode() in body
    refuses(signed(header(), body))


@pytest.mark.parametrize("claim", ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"])
def test_a_claim_that_rfc_9068_demands_is_demanded(
    refuses: Callable[..., None], claim: str
) -> None:
    body = {name: value for name, value in PAYLOAD.items() if name != claim}
    refuses(signed(header(), json.dumps(body).encode()))


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"text"', b"\xff\xfe", b"{" * 5000])
def test_a_payload_that_is_no_object_is_refused(refuses: Callable[..., None], body: bytes) -> None:
    refuses(signed(header(), body))


def test_the_kid_of_the_payload_is_not_believed(tokens: Tokens) -> None:
    assert tokens.verify(signed(header(), payload(kid="another")), AT).kid == KEY.kid


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_part_in_standard_base64_or_padded_is_another_text_and_refused(
    refuses: Callable[..., None], part: int
) -> None:
    parts = GENUINE.split(".")
    raw = base64.urlsafe_b64decode(parts[part] + "=" * (-len(parts[part]) % 4))
    parts[part] = base64.b64encode(raw).decode() + "="
    refuses(".".join(parts))


def test_what_was_verified_is_remembered_within_bounds_and_forgotten_when_told(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.domain.tokens.verification._REMEMBERED", 3)
    for n in range(10):
        tokens.verify(tokens.mint(KEY, replace(CLAIMS, jti=str(n))), AT)
    assert len(tokens._verified) == 3
    tokens.forget()
    assert not tokens._verified
