"""schemathesis: what openapi/ promises of every operation, and what is answered."""

import asyncio
import base64
import random
import re
from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from faults.report import Report
from faults.site import Site
from service.embedded.checkout import ROOT

_DOCUMENT = ROOT / "openapi" / "tesserra-auth.json"
_OTHERS = re.compile(r"/stream|logout|disable|end-sessions|personal-data|/role$|signing-keys")


async def fuzz_contract(site: Site, report: Report, dice: random.Random, rounds: int) -> None:
    """Ask every operation so often with what its schema allows, as who may do all or a client."""
    who = await site.newcomer(role="owner", platform_admin=True)
    machine = await site.machine("revocations:read", "api-keys:verify")
    pair = f"{machine.client_id}:{machine.secret}".encode()
    shown = {
        "bearer": f"Bearer {who.access_token}",
        "client": f"Basic {base64.b64encode(pair).decode()}",
    }
    seed, workers = dice.randrange(2**32), sorted(site.running.workers())
    await asyncio.to_thread(_walk, site.url, shown, report, seed, rounds)
    now = sorted(site.running.workers())
    report.expect("I6", now == workers, f"a worker did not outlive it: {workers}, {now}")


def _walk(url: str, shown: dict[str, str], report: Report, seed: int, rounds: int) -> None:
    schema = schemathesis.openapi.from_path(str(_DOCUMENT))
    for result in schema.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr]
        if _OTHERS.search(operation.path) or operation.label == "GET /revocations":
            continue
        report.progress(operation.label)
        wanted = {name for one in operation.definition.raw["security"] for name in one}
        headers = {"Authorization": shown["client" if "client" in wanted else "bearer"]}
        try:
            _ask(operation, url, headers, report, seed, rounds)
        except AssertionError as exc:
            report.violate("contract", f"{operation.label}: {str(exc)[:600]}")
        except BaseExceptionGroup as group:
            for each in group.exceptions[:3]:
                report.violate("contract", f"{operation.label}: {str(each)[:600]}")
        report.rounds += 1


def _ask(
    operation: Any, url: str, headers: dict[str, str], report: Report, seed: int, rounds: int
) -> None:
    @hypothesis.seed(seed)
    @settings(
        max_examples=rounds,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @hypothesis.given(case=operation.as_strategy())
    def one(case: Any) -> None:
        report.requests += 1
        response = case.call(base_url=url, headers=headers, timeout=30)
        report.statuses[response.status_code] += 1
        if response.status_code in (429, 503):
            return
        case.validate_response(response, checks=CHECKS)

    one()


CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
"""Whether answers are what the document says; what is refused is the service's business."""
