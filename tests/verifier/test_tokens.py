"""Which texts are access tokens, by RFC 7515, RFC 8725 and RFC 9068, and which are not."""

import json
from typing import Any, get_args

import pytest
from joserfc import jws
from joserfc.jwk import OctKey
from tesserra_verifier import InsufficientScopeError, InvalidTokenError, UnavailableError, Verifier

from service.kernel.jose import Algorithm, Key, encode, generate
from tests.verifier.conftest import Open, eventually
from tests.verifier.standin import AUDIENCE, ISSUER, StandIn, forged

KEYS: dict[Algorithm, bytes] = {one: generate(one) for one in get_args(Algorithm)}


async def reason(verifier: Verifier, token: str) -> str:
    with pytest.raises(InvalidTokenError) as refused:
        await verifier.verify(token)
    return refused.value.reason


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
async def test_a_good_token_of_each_algorithm_yields_its_claims(
    opened: Open, issuer: StandIn, algorithm: Algorithm
) -> None:
    issuer.keys = [Key(algorithm, generate(algorithm))]
    verifier = await opened()
    payload = issuer.payload(akid="key-1", auth_time=12, extra={"of": "ours"})
    claims = await verifier.verify(issuer.keys[0].sign(json.dumps(payload).encode()))
    assert claims.payload == payload
    assert (claims.iss, claims.aud, claims.kid) == (ISSUER, (AUDIENCE,), issuer.keys[0].kid)
    assert claims.scopes == ("agentes", "proxy-ollama")
    assert (claims.roles, claims.amr, claims.akid) == (("member",), ("pwd",), "key-1")
    assert (claims.sid, claims.tenant_id) == (payload["sid"], payload["tenant_id"])


async def test_a_token_without_the_optional_claims_is_good(
    verifier: Verifier, issuer: StandIn
) -> None:
    bare = issuer.token(sid=None, tenant_id=None, scope=None, roles=None, amr=None)
    claims = await verifier.verify(bare)
    assert (claims.sid, claims.tenant_id, claims.scopes, claims.roles) == (None, None, (), ())


async def test_one_of_several_audiences_is_enough(verifier: Verifier, issuer: StandIn) -> None:
    await verifier.verify(issuer.token(aud=["https://other.test", AUDIENCE]))


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"iss": "https://issuer.test/"}, "claims"),
        ({"iss": None}, "claims"),
        ({"aud": "https://other.test"}, "claims"),
        ({"aud": []}, "claims"),
        ({"aud": [AUDIENCE, 7]}, "claims"),
        ({"aud": None}, "claims"),
        ({"exp": None}, "claims"),
        ({"exp": "9999999999"}, "claims"),
        ({"exp": True}, "claims"),
        ({"exp": 10**400}, "claims"),
        ({"iat": None}, "claims"),
        ({"jti": None}, "claims"),
        ({"jti": 7}, "claims"),
        ({"sub": None}, "claims"),
        ({"client_id": None}, "claims"),
        ({"sid": 7}, "claims"),
        ({"scope": ["agentes"]}, "claims"),
        ({"roles": "owner"}, "claims"),
        ({"exp": 1}, "expired"),
        ({"iat": 9_999_999_999}, "not yet valid"),
        ({"nbf": 9_999_999_999}, "not yet valid"),
    ],
)
async def test_wrong_claims_are_refused(
    verifier: Verifier, issuer: StandIn, claims: dict[str, Any], why: str
) -> None:
    assert await reason(verifier, issuer.token(**claims)) == why


@pytest.mark.parametrize(
    ("cnf", "why"),
    [
        ({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}, "jkt"),
        ({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}, "x5t#S256"),
        ({"jwk": {"kty": "EC"}, "kid": "one"}, "jwk kid"),
        ({"jwe": "a.b.c.d.e"}, "jwe"),
        ({"jku": "https://keys.test", "kid": "one"}, "jku kid"),
        ({"osc": {}}, "osc"),
        ({"nobody-registered-this": 1}, "nobody-registered-this"),
        ({}, "nothing"),
        (7, "not an object"),
        ("jkt", "not an object"),
        (["jkt"], "not an object"),
        (False, "not an object"),
    ],
)
@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
async def test_a_token_that_is_bound_to_a_key_is_refused_and_it_is_said_why(
    opened: Open, issuer: StandIn, algorithm: Algorithm, cnf: Any, why: str
) -> None:
    """No proof of possession is checked here (RFC 7800, RFC 8705 section 3, RFC 9449 section 7)."""
    issuer.keys = [Key(algorithm, KEYS[algorithm])]
    verifier = await opened()
    await verifier.verify(issuer.token())
    for _ in range(2):
        with pytest.raises(InvalidTokenError, match=r"^bound: cnf ") as refused:
            await verifier.verify(issuer.token(cnf=cnf))
        assert refused.value.reason == "bound"
        assert why in str(refused.value)
    null = issuer.keys[0].sign(json.dumps({**issuer.payload(), "cnf": None}).encode())
    assert await reason(verifier, null) == "bound"


async def test_the_leeway_is_ten_seconds_both_ways(verifier: Verifier, issuer: StandIn) -> None:
    now = int(issuer.now())
    await verifier.verify(issuer.token(exp=now - 7))
    await verifier.verify(issuer.token(iat=now + 8))
    assert await reason(verifier, issuer.token(exp=now - 10)) == "expired"
    assert await reason(verifier, issuer.token(iat=now + 13)) == "not yet valid"


@pytest.mark.parametrize(
    "change",
    [
        {"typ": "JWT"},
        {"typ": "application/at+jwt"},
        {"typ": None},
        {"alg": "none"},
        {"alg": "RS256"},
        {"alg": "HS256"},
        {"alg": "ES384"},
        {"alg": None},
        {"alg": ["ES256"]},
        {"kid": None},
        {"kid": 7},
        {"kid": ["a"]},
        {"crit": ["exp"]},
        {"jku": "https://evil.test/jwks"},
        {"jwk": {"kty": "EC"}},
        {"x5u": "https://evil.test/x"},
        {"b64": False},
        {"zip": "DEF"},
    ],
)
async def test_any_other_header_is_refused_however_well_signed(
    verifier: Verifier, issuer: StandIn, change: dict[str, Any]
) -> None:
    key = issuer.keys[0]
    header = {"alg": "ES256", "kid": key.kid, "typ": "at+jwt"}
    payload = issuer.payload()
    await verifier.verify(forged(header, payload, key))
    changed = {name: value for name, value in (header | change).items() if value is not None}
    token = forged(changed, payload, key)
    assert await reason(verifier, token) in {"malformed", "unknown key"}


async def test_a_public_key_is_not_a_secret_of_hs256(verifier: Verifier, issuer: StandIn) -> None:
    key = issuer.keys[0]
    header = {"alg": "HS256", "kid": key.kid, "typ": "at+jwt"}
    secret = OctKey.import_key(json.dumps(key.jwk).encode())
    token = jws.serialize_compact(header, json.dumps(issuer.payload()), secret, ["HS256"])
    assert await reason(verifier, token) == "malformed"


async def test_a_signature_of_another_key_or_text_is_refused(
    verifier: Verifier, issuer: StandIn
) -> None:
    good = issuer.token()
    header, payload, signature = good.split(".")
    other = encode(json.dumps(issuer.payload(roles=["owner"])).encode())
    stranger = Key("ES256", generate("ES256"))
    claimed = {"alg": "ES256", "kid": issuer.keys[0].kid, "typ": "at+jwt"}
    for token in (
        f"{header}.{other}.{signature}",
        f"{header}.{payload}.{issuer.token().split('.')[2]}",
        f"{header}.{payload}.{encode(bytes(64))}",
        f"{header}.{payload}.{encode(bytes(61))}",
        forged(claimed, issuer.payload(), stranger),
    ):
        assert await reason(verifier, token) == "signature", token
    assert await reason(verifier, issuer.token(stranger)) == "unknown key"


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a.b", "a.b.c.d", "é.é.é", "a.b.c\n", " a.b.c", "a" * 9000, "a+b.c.d", "a=.b.c",
     "\ud800.b.c", "x.y.z"],
)  # fmt: skip
async def test_what_is_not_a_compact_jws_is_refused(verifier: Verifier, text: str) -> None:
    assert await reason(verifier, text) == "malformed"


async def test_json_that_can_be_read_two_ways_is_refused(
    verifier: Verifier, issuer: StandIn
) -> None:
    key = issuer.keys[0]
    header = {"alg": "ES256", "kid": key.kid, "typ": "at+jwt"}
    plain = json.dumps(issuer.payload())
    doubled = f'{plain[:-1]}, "sub": "another"}}'
    assert await reason(verifier, forged(header, doubled, key)) == "malformed"
    no_number = plain.replace('"exp": ', '"exp": NaN, "old": ')
    assert await reason(verifier, forged(header, no_number, key)) == "malformed"
    assert await reason(verifier, forged(header, "[1]", key)) == "malformed"
    assert await reason(verifier, forged(header, "[" * 5000, key)) == "malformed"
    twice = f'{{"alg": "none", {json.dumps(header)[1:]}'
    assert await reason(verifier, forged(twice, plain, key)) == "malformed"


async def test_only_the_algorithms_asked_for_are_accepted(opened: Open, issuer: StandIn) -> None:
    verifier = await opened(algorithms=("RS256", "EdDSA"))
    assert await reason(verifier, issuer.token()) == "malformed"


async def test_keys_this_library_does_not_use_are_passed_over(
    opened: Open, issuer: StandIn
) -> None:
    weak = {"kty": "RSA", "n": encode(bytes([255]) * 128), "e": "AQAB", "kid": "weak"}
    oct_key = {"kty": "oct", "k": "c2VjcmV0", "kid": "oct", "alg": "HS256"}
    for_encryption = {**Key("ES256", generate("ES256")).jwk, "use": "enc", "kid": "enc"}
    issuer.extra_jwks = [weak, oct_key, for_encryption, {"kty": "EC"}, {"kid": "bare"}]
    verifier = await opened()
    assert len(verifier._keys) == 1
    await verifier.verify(issuer.token())


async def test_a_new_key_is_found_by_the_first_token_it_signed(
    opened: Open, issuer: StandIn
) -> None:
    verifier = await opened(keys_cooldown=0)
    await verifier.verify(issuer.token())
    issuer.rotate()
    await verifier.verify(issuer.token())
    await verifier.verify(issuer.token(issuer.keys[1]))


async def test_unknown_keys_do_not_make_the_issuer_be_asked_more_than_once_per_cooldown(
    opened: Open, issuer: StandIn
) -> None:
    verifier = await opened(keys_cooldown=60)
    asked = issuer.asked.count("/.well-known/jwks.json")
    stranger = Key("ES256", generate("ES256"))
    for number in range(50):
        header = {"alg": "ES256", "kid": f"kid-{number}", "typ": "at+jwt"}
        token = forged(header, issuer.payload(), stranger)
        assert await reason(verifier, token) == "unknown key"
    assert issuer.asked.count("/.well-known/jwks.json") == asked


async def test_keys_outlive_an_outage_and_a_new_one_is_not_called_invalid_in_it(
    opened: Open, issuer: StandIn
) -> None:
    verifier = await opened(keys_cooldown=0, when_stale="accept")
    issuer.down = {"/.well-known/jwks.json"}
    new = issuer.rotate()
    with pytest.raises(UnavailableError):
        await verifier.verify(issuer.token(new))
    await verifier.verify(issuer.token(issuer.keys[1]))
    issuer.down = set()
    await verifier.verify(issuer.token(new))


async def test_a_jwks_without_a_usable_key_does_not_replace_the_keys(
    opened: Open, issuer: StandIn
) -> None:
    verifier = await opened(keys_interval=0.01)
    token, keys = issuer.token(), issuer.keys
    issuer.keys = []
    asked = len(issuer.asked)

    async def asked_again() -> bool:
        await verifier.verify(token)
        return issuer.asked[asked:].count("/.well-known/jwks.json") >= 2

    await eventually(asked_again)
    issuer.keys = keys
    await verifier.verify(token)


async def test_a_key_that_left_the_jwks_verifies_no_more_not_even_a_remembered_token(
    opened: Open, issuer: StandIn
) -> None:
    verifier = await opened(keys_interval=0.02)
    token = issuer.token()
    await verifier.verify(token)
    issuer.rotate()
    del issuer.keys[1]

    async def refused() -> bool:
        try:
            await verifier.verify(token)
        except InvalidTokenError as exc:
            return exc.reason == "unknown key"
        return False

    await eventually(refused)


async def test_a_revoked_key_makes_the_new_one_be_fetched_at_once(
    opened: Open, issuer: StandIn
) -> None:
    verifier = await opened(keys_cooldown=3600, keys_interval=3600)
    old = issuer.keys[0]
    new = issuer.rotate()
    issuer.revoke("kid", old.kid)

    async def accepted() -> bool:
        try:
            await verifier.verify(issuer.token(new))
        except InvalidTokenError:
            return False
        return True

    assert await eventually(accepted) < 2
    assert await reason(verifier, issuer.token(old)) == "revoked"


async def test_a_remembered_token_is_forgotten_past_the_bound_and_checked_for_expiry_at_each_hit(
    opened: Open, issuer: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = await opened(cache_size=10)
    tokens = [issuer.token() for _ in range(30)]
    for token in tokens:
        await verifier.verify(token)
    assert len(verifier._verified) == 10
    claims = await verifier.verify(tokens[-1])
    later = claims.exp + 10
    monkeypatch.setattr(verifier._clock, "now", lambda: later)
    assert await reason(verifier, tokens[-1]) == "expired"


async def test_a_missing_scope_is_named(verifier: Verifier, issuer: StandIn) -> None:
    claims = await verifier.verify(issuer.token(scope="agentes"))
    claims.require("agentes")
    with pytest.raises(InsufficientScopeError) as refused:
        claims.require("agentes", "proxy-ollama")
    assert refused.value.headers["WWW-Authenticate"] == (
        'Bearer realm="api", error="insufficient_scope", scope="agentes proxy-ollama"'
    )


def test_an_issuer_without_tls_is_accepted_on_loopback_alone() -> None:
    Verifier("http://localhost:8080", AUDIENCE, "orders", "s")
    for issuer in ("http://auth.example", "ftp://localhost", "auth.example"):
        with pytest.raises(ValueError, match="issuer"):
            Verifier(issuer, AUDIENCE, "orders", "s")


@pytest.mark.parametrize(
    "option",
    [
        {"max_staleness": 1},
        {"max_staleness": float("nan")},
        {"max_staleness": float("inf")},
        {"page": 0},
        {"page": 5001},
        {"when_stale": "acept"},
        {"algorithms": ()},
        {"algorithms": ("HS256",)},
    ],
)
def test_an_option_that_would_never_work_or_never_refuse_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        Verifier(ISSUER, AUDIENCE, "orders", "s", **option)


def test_the_secret_shows_in_no_repr() -> None:
    assert "s3cret" not in repr(Verifier(ISSUER, AUDIENCE, "orders", "s3cret"))


async def test_a_verifier_that_was_not_entered_verifies_nothing(issuer: StandIn) -> None:
    with pytest.raises(RuntimeError, match="enter"):
        await Verifier(ISSUER, AUDIENCE, "orders", "s").verify(issuer.token())


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
async def test_one_signature_has_one_spelling(
    opened: Open, issuer: StandIn, algorithm: Algorithm
) -> None:
    """Bits to spare in the last letter of base64url are zero (RFC 4648 section 3.5)."""
    issuer.keys = [Key(algorithm, generate(algorithm))]
    verifier = await opened()
    altered = 0
    for length in range(3):  # of the payload, so that its last letter has 0, 2 and 4 bits to spare
        token = issuer.token(extra="x" * length)
        await verifier.verify(token)
        parts = token.split(".")
        for place, part in enumerate(parts):
            spare = {0: 0, 2: 4, 3: 2}[len(part) % 4]
            for bits in range(1, 2**spare):
                other = part[:-1] + _LETTERS[_LETTERS.index(part[-1]) + bits]
                spelled = ".".join([*parts[:place], other, *parts[place + 1 :]])
                assert await reason(verifier, spelled) in ("malformed", "signature")
                altered += 1
        assert await reason(verifier, token + "=") == "malformed"
    assert altered > 18


@pytest.mark.parametrize("name", ["exp", "iat", "nbf", "auth_time"])
async def test_times_may_have_fractions_and_exponents(
    verifier: Verifier, issuer: StandIn, name: str
) -> None:
    """RFC 7519 section 2."""
    at = issuer.now() + (60 if name == "exp" else -1)
    for text in (f"{at:.6f}", f"{at:.10e}", f"{int(at)}.0"):
        payload = json.dumps(issuer.payload(**{name: 0})).replace(
            f'"{name}": 0', f'"{name}": {text}'
        )
        claims = await verifier.verify(issuer.keys[0].sign(payload.encode()))
        assert getattr(claims, name) == float(text)
    for text in ("NaN", "Infinity", "-Infinity", "1e999", "-1", "1e16"):
        payload = json.dumps(issuer.payload(**{name: 0})).replace(
            f'"{name}": 0', f'"{name}": {text}'
        )
        assert await reason(verifier, issuer.keys[0].sign(payload.encode())) in (
            "claims",
            "malformed",
        )
