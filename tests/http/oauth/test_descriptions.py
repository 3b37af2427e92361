"""Every OAuth error says what to change, and tells nobody who is a client here."""

import re
from collections.abc import Callable
from typing import Any

import httpx2
import msgspec
import pytest
from joserfc.jwk import ECKey

from service.flows.clients.create import create_client
from service.flows.oauth.exchange_api_key import GRANT as EXCHANGE
from service.flows.shared.new_client import NewClient
from service.http import oauth_error
from service.kernel.call import Call
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime
from tests import given
from tests.clients import Machine, a_service
from tests.http.oauth.test_token import ASSERTION, Signer, basic, present, signer
from tests.world import ISSUER

__all__ = ["signer"]

ALLOWED = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")
"""RFC 6749 section 5.2."""

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
async def service(rt: Runtime, client: httpx2.AsyncClient) -> Machine:
    return await a_service(rt, client, "agentes")


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_words_of_the_letters_that_are_allowed(reason: Reason) -> None:
    assert ALLOWED.fullmatch(oauth_error.describe(Refused(reason)))
    odd = oauth_error.describe(Refused(reason, 'an "é" \\ or\nso', fields=("a", "b")))
    assert ALLOWED.fullmatch(odd)
    assert odd == "an ''' ' or'so (a, b)"


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("token", "", 400, "grant_type"),
        ("token", "grant_type=password", 400, "client_credentials, refresh_token, urn:ietf"),
        ("token", "grant_type=client_credentials&scope=a&scope=b", 400, "send each once"),
        ("token", "grant_type=client_credentials&scope=%ff", 400, "UTF-8"),
        ("token", "grant_type=client_credentials&scope=other", 400, "some of: agentes"),
        ("token", "grant_type=refresh_token", 400, "refresh_token"),
        ("token", "grant_type=refresh_token&refresh_token=x", 400, "sign in anew"),
        ("token", "grant_type=client_credentials&client_secret=x", 400, "in one way"),
        ("token", "grant_type=client_credentials&client_id=x", 400, "client_id"),
        (
            "token",
            f"grant_type={EXCHANGE}&subject_token=x&subject_token_type=y",
            400,
            "api-key is expected (subject_token_type)",
        ),
        ("introspect", "", 400, "token"),
        ("revoke", "", 400, "token"),
        ("nothing", "a=b", 404, "metadata"),
    ],
)
async def test_what_to_change_is_said(
    service: Machine, path: str, body: str, status: int, says: str
) -> None:
    answer = await service.http.post(
        f"/oauth/{path}",
        content=body,
        headers={"content-type": FORM},
        auth=(service.client_id, service.secret),
    )
    assert answer.status_code == status, answer.text
    assert says in answer.json()["error_description"]
    assert ALLOWED.fullmatch(answer.json()["error_description"])


async def test_a_body_that_is_no_form_and_another_method_are_told_what_is_expected(
    service: Machine,
) -> None:
    answer = await service.http.post("/oauth/token", json={})
    assert (answer.status_code, answer.json()["error_description"]) == (415, f"send {FORM}")
    answer = await service.http.get("/oauth/token")
    assert "Allow" in answer.json()["error_description"]


async def test_another_clients_token_is_told_to_be_another_clients(
    rt: Runtime, client: httpx2.AsyncClient, service: Machine
) -> None:
    other = await a_service(rt, client, "agentes")
    answer = await service.ask("/oauth/revoke", token=other.token)
    assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")
    assert "another client" in answer.json()["error_description"]


async def test_revocation_answers_with_an_empty_object(service: Machine) -> None:
    for token in (service.token, "unknown"):
        answer = await service.ask("/oauth/revoke", token=token)
        assert (answer.status_code, answer.json()) == (200, {})
        assert answer.headers["content-type"].partition(";")[0] == "application/json"


async def test_a_scheme_is_challenged_where_one_was_tried_or_nothing_was(
    service: Machine, signer: Signer
) -> None:
    """RFC 6749 section 5.2: a client that named itself in the form tried none."""
    grant = {"grant_type": "client_credentials"}
    posted = [
        {"client_id": service.client_id, "client_secret": "wrong"},
        {"client_id": "unknown", "client_secret": "wrong"},
        {"client_id": service.client_id},
        {"client_assertion_type": ASSERTION, "client_assertion": signer.assertion(0)},
    ]
    for path in ("/oauth/token", "/oauth/introspect", "/oauth/revoke"):
        for form in posted:
            answer = await service.http.post(path, data={**grant, "token": "a", **form})
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
            assert "www-authenticate" not in answer.headers
        for headers in ({}, {"authorization": basic("x", "y")}, {"authorization": "Bearer x"}):
            answer = await service.http.post(path, data={**grant, "token": "a"}, headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
            assert answer.headers["www-authenticate"].startswith("Basic ")
            assert "error=" not in answer.headers["www-authenticate"]


@pytest.mark.parametrize("given_", [None, "Basic YTpi", "Digest x", "DPoP x"])
async def test_whoever_presents_no_bearer_token_is_not_told_that_it_is_bad(
    client: httpx2.AsyncClient, given_: str | None
) -> None:
    """RFC 6750 section 3.1."""
    headers = {} if given_ is None else {"authorization": given_}
    for method, path in (("GET", "/auth/me"), ("GET", "/admin/users"), ("GET", "/revocations")):
        answer = await client.request(method, path, headers=headers)
        challenge = answer.headers["www-authenticate"]
        assert (answer.status_code, challenge) == (401, 'Bearer realm="tesserra"')
    answer = await client.get("/auth/me", headers={"authorization": "bearer x"})
    assert answer.headers["www-authenticate"] == 'Bearer realm="tesserra", error="invalid_token"'


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"aud": f"{ISSUER}/oauth/token"}, f"aud must be the issuer, as one string: {ISSUER}"),
        ({"aud": None}, "aud must be the issuer"),
        ({"exp": 3600}, "exp must be at most 300 seconds ahead"),
        ({"exp": -60}, "exp is over"),
        ({"exp": None}, "exp is missing"),
        ({"exp": "soon"}, "exp must be a number"),
        ({"exp": True}, "exp must be a number"),
        ({"exp": 1e300}, "exp must be seconds since 1970"),
        ({"iat": 60}, "iat is in the future"),
        ({"nbf": 60}, "nbf is in the future"),
        ({"iat": -1e10}, "iat must be seconds"),
        ({"jti": None}, "jti must be"),
        ({"jti": ""}, "jti must be"),
        ({"jti": 7}, "jti must be"),
        ({"iss": "other"}, "iss must be the client's id"),
    ],
)
async def test_an_assertion_that_its_client_signed_is_told_which_claim_is_wrong(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer, claims: dict[str, Any], says: str
) -> None:
    now = rt.clock.now().timestamp()
    said = {
        name: now + value
        if type(value) in (int, float) and name in ("exp", "iat", "nbf")
        else value
        for name, value in claims.items()
    }
    answer = await present(client, signer.assertion(now, **said))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert says in answer.json()["error_description"]


async def test_an_assertion_that_was_used_says_so(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer
) -> None:
    assertion = signer.assertion(rt.clock.now().timestamp())
    assert (await present(client, assertion)).status_code == 200
    again = await present(client, assertion)
    assert "jti was used before" in again.json()["error_description"]


async def test_whose_signature_it_is_not_is_told_nothing_of_who_is_a_client(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer, call: Callable[..., Call]
) -> None:
    keys = [ECKey.generate_key("P-256", auto_kid=True) for _ in range(2)]
    jwks = msgspec.json.encode({"keys": [one.as_dict(private=False) for one in keys]}).decode()
    several = await create_client(rt, call(), NewClient(name="x", scopes=("agentes",), jwks=jwks))
    secret = await create_client(rt, call(), NewClient(name="x", scopes=("agentes",)))
    now = rt.clock.now().timestamp()
    thief = ECKey.generate_key("P-256", auto_kid=True)
    named = ("svc_unknown", signer.client_id, several.client.client_id, secret.client.client_id)
    told = set()
    for client_id in named:
        for claims in ({}, {"aud": "x"}, {"exp": 1}, {"jti": 7}):
            answer = await present(client, Signer(client_id, thief).assertion(now, **claims))
            told.add((answer.status_code, answer.json()["error_description"]))
    ((status, description),) = told
    assert status == 401
    assert "kid must name one of several keys" in description
    assert "ES256, RS256, PS256, Ed25519" in description


@pytest.mark.parametrize("form", ["{:.6f}", "{:.1f}", "{:.10e}", "{:.0f}.0", "{:.9E}"])
async def test_times_may_have_fractions_and_exponents(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer, form: str
) -> None:
    """RFC 7519 section 2."""
    now = rt.clock.now().timestamp()
    at = {"iat": form.format(now), "nbf": form.format(now - 1), "exp": form.format(now + 60)}
    raw = {name: msgspec.Raw(text.encode()) for name, text in at.items()}
    assert (await present(client, signer.assertion(now, **raw))).status_code == 200


@pytest.mark.parametrize("form", ["NaN", "Infinity", "-Infinity", "1e999", "-1", "9" * 400, "1e16"])
async def test_times_that_are_none_are_refused(
    rt: Runtime, client: httpx2.AsyncClient, signer: Signer, form: str
) -> None:
    now = rt.clock.now().timestamp()
    for name in ("iat", "nbf", "exp"):
        answer = await present(client, signer.assertion(now, **{name: msgspec.Raw(form.encode())}))
        assert answer.status_code == 401, (name, answer.text)


async def test_a_refresh_token_that_is_nobodys_or_over_is_told_to_sign_in(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    await given.a_person(rt)
    form = {"grant_type": "refresh_token", "client_id": "console", "refresh_token": "x"}
    answer = await client.post("/oauth/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert "sign in anew" in answer.json()["error_description"]
