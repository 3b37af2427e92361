"""schemathesis: what openapi/ promises of every operation, and what is answered.

With what the document allows, and with what it does not allow, which must be refused.  Methods that
it does not name are asked by a test of their own.
"""

import asyncio
import base64
import json
import random
import re
from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core import NotSet
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_schema_conformance,
    status_code_conformance,
)

from faults.report import Report
from faults.site import Site
from service.embedded.checkout import ROOT

_DOCUMENT = ROOT / "openapi" / "tesserra-auth.json"
_FORM = "application/x-www-form-urlencoded"
_PARAMETERS = {
    name
    for schema in json.loads(_DOCUMENT.read_text())["components"]["schemas"].values()
    for name in schema.get("properties", ())
    if not name.startswith("client_")
}
"""What forms are sent with.  Others are ignored, and a client identifies itself by Basic alone."""
_SEED = 15
"""The same cases every time: what is found once is found again."""
_OTHERS = re.compile(r"/stream|logout|disable|end-sessions|personal-data|/role$|signing-keys")


async def fuzz_contract(site: Site, report: Report, _dice: random.Random, rounds: int) -> None:
    """Ask every operation so often with what its schema allows, as who may do all or a client."""
    who = await site.newcomer(role="owner", platform_admin=True)
    machine = await site.machine("revocations:read", "api-keys:verify")
    pair = f"{machine.client_id}:{machine.secret}".encode()
    shown = {
        "bearer": f"Bearer {who.access_token}",
        "client": f"Basic {base64.b64encode(pair).decode()}",
    }
    workers = sorted(site.running.workers())
    await asyncio.to_thread(_walk, site.url, shown, report, rounds)
    now = sorted(site.running.workers())
    report.expect("I6", now == workers, f"a worker did not outlive it: {workers}, {now}")


def _walk(url: str, shown: dict[str, str], report: Report, rounds: int) -> None:
    schema = schemathesis.openapi.from_path(str(_DOCUMENT))
    for result in schema.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr]
        if _OTHERS.search(operation.path) or operation.label == "GET /revocations":
            continue
        report.progress(operation.label)
        wanted = {name for one in operation.definition.raw["security"] for name in one}
        headers = {"Authorization": shown["client" if "client" in wanted else "bearer"]}
        for mode in GenerationMode.POSITIVE, GenerationMode.NEGATIVE:
            try:
                _ask(operation, mode, url, headers, report, rounds)
            except Unsatisfiable:
                continue  # it takes nothing that could be wrong
            except AssertionError as exc:
                report.violate("contract", f"{operation.label}: {str(exc)[:600]}")
            except BaseExceptionGroup as group:
                for each in group.exceptions[:3]:
                    report.violate("contract", f"{operation.label}: {str(each)[:600]}")
        report.rounds += 1


def _ask(
    operation: Any,
    mode: GenerationMode,
    url: str,
    headers: dict[str, str],
    report: Report,
    rounds: int,
) -> None:
    @hypothesis.seed(_SEED)
    @settings(
        max_examples=rounds,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        report.requests += 1
        if mode is GenerationMode.POSITIVE and case.media_type == _FORM:
            case.body = {name: case.body[name] for name in case.body if name in _PARAMETERS}
        response = case.call(base_url=url, headers=headers, timeout=30)
        report.statuses[response.status_code] += 1
        if response.status_code in (413, 429, 503):
            return
        checks = CHECKS if excused(case, response) else (*CHECKS, positive_data_acceptance)
        case.validate_response(response, checks=checks)

    one()


CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
)
"""Whether answers are what the document says, and what it does not allow is refused."""

BEYOND_SCHEMAS = {
    "cursor": "the service made it, for this list",
    "token": "the secret of an invitation that is open",
    "subject_token": "an API key that is good (RFC 8693 section 2.2.2 has this code for others)",
    "expires_at": "lies ahead, within 100 years",
    "scopes": "of the deployment's catalogue",
    "jwks": "public keys alone, each with what its type needs",
    "email": "a domain by IDNA 2008",
    "addresses": "a network has no bits set beyond its mask",
    "new_password": "none that is known or easily guessed",
    "value": "exactly one of value and value_base64",
    "value_base64": "exactly one of value and value_base64",
    "tenant_id": "of a revocation of kind sub alone",
    **dict.fromkeys(
        ("token_endpoint_auth_method", "grant_types", "require_pkce", "profile"),
        "what a client is must fit together",
    ),
    **dict.fromkeys(
        ("redirect_uris", "post_logout_redirect_uris", "backchannel_logout_uri", "origins"),
        "exact, and of a scheme and a host that may be (RFC 8252 section 7)",
    ),
    **dict.fromkeys(("logo_uri", "policy_uri", "tos_uri"), "a URI with a host that may be"),
}
"""Members and parameters of which no schema says all that they must be, and what it leaves out."""
_NAMED = re.compile(r"\(([a-z_, ]+)\)\Z")
"""Where the description of an OAuth error names parameters."""


def excused(case: Any, response: Any) -> bool:
    """Tell whether a refusal is for what no schema can say, and for nothing else."""
    match response.status_code:
        case 415:  # a body may be left out, but not its media type where a cookie counts
            return isinstance(case.body, NotSet)
        case 422:  # the Idempotency-Key was another request's
            return True
        case 400 if _has_fraction(case.body):  # JSON Schema calls 1.0 an integer, and we do not
            return True
        case 400:
            told = response.json()
        case _:
            return False
    if told.get("error", "invalid_request") != "invalid_request":
        return True  # well-formed, and yet no grant, no scope or no client
    named = _NAMED.search(told.get("error_description", ""))
    at_fault = set(named[1].split(", ") if named else told.get("fields", ()))
    return bool(at_fault) and at_fault <= BEYOND_SCHEMAS.keys()


def _has_fraction(value: object) -> bool:
    match value:
        case float():
            return True
        case dict():
            return any(map(_has_fraction, value.values()))
        case list():
            return any(map(_has_fraction, value))
    return False
