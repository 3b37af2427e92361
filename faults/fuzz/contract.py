"""schemathesis: what openapi/ promises of every operation, and what is answered.

With what the document allows, and with what it does not allow, which must be refused.  Methods that
it does not name are asked by a test of their own.
"""

import asyncio
import base64
import random
import re
from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from faults.report import Report
from faults.site import Site
from service.embedded.checkout import ROOT

_DOCUMENT = ROOT / "openapi" / "tesserra-auth.json"
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
        response = case.call(base_url=url, headers=headers, timeout=30)
        report.statuses[response.status_code] += 1
        if response.status_code in (413, 429, 503):
            return
        case.validate_response(response, checks=CHECKS)

    one()


CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
)
"""Whether answers are what the document says, and what it does not allow is refused."""
