"""I8: another organization's object is not told from none by the time of the answer.

Measured as the area under the ROC curve (AUC) of guessing by the longer time: 0.5 is a coin.
"""

import bisect
import random
import time
from typing import Any
from uuid import uuid4

from faults.client import Client
from faults.report import Report
from faults.site import CREATIONS, Site

PAIRS = 400
_LEAST, _MOST = 0.40, 0.60
_EACH = CREATIONS // 2
"""Pairs that one person may ask for in a minute."""

_DOORS: tuple[tuple[str, str, Any], ...] = (
    ("DELETE", "/api-keys/{key_id}", None),
    ("POST", "/api-keys/{key_id}/revoke", {}),
    ("POST", "/api-keys/{key_id}/rotate", {"overlap_seconds": 0}),
    ("DELETE", "/admin/invitations/{invitation_id}", None),
    ("POST", "/admin/users/{user_id}/end-sessions", {}),
    ("PUT", "/admin/users/{user_id}/role", {"role": "member"}),
    ("POST", "/admin/users/{user_id}/disable", {}),
    ("DELETE", "/admin/users/{user_id}", None),
    ("DELETE", "/admin/sessions/{session_id}", None),
    ("POST", "/admin/clients/{client_id}/disable", {}),
    ("POST", "/admin/clients/{client_id}/rotate-secret", {"overlap_seconds": 0}),
    ("POST", "/revocations", {"kind": "akid", "value": "{key_id}"}),
)
"""Doors that write, were the object one's own."""


async def tell_apart(
    site: Site, report: Report, client: Client, foreign: dict[str, str], dice: random.Random
) -> None:
    """Ask for what is another's and for what is not there, in turns, and compare the times."""
    for method, path, body in _DOORS:
        there: list[float] = []
        nowhere: list[float] = []
        for number in range(PAIRS):
            if number % _EACH == 0:
                spy = await site.newcomer(role="owner")
            asked = [(there, foreign), (nowhere, _nothing(foreign))]
            dice.shuffle(asked)
            for times, objects in asked:
                told = _filled(body, objects)
                began = time.perf_counter()
                answer = await client.ask(
                    method, path.format(**objects), bearer=spy.access_token, json=told
                )
                times.append(time.perf_counter() - began)
                report.expect("I8", answer.status == 404, f"{method} {path}: {answer.status}")
        found = round(_auc(there, nowhere), 3)
        report.figures[f"AUC of {method} {path}"] = found
        report.expect(
            "I8", _LEAST <= found <= _MOST, f"{method} {path}: told apart by time, AUC {found}"
        )


def _nothing(foreign: dict[str, str]) -> dict[str, str]:
    """Return objects that are not there, each named as one that is would be, and new each time."""
    client_id = f"svc_{uuid4().hex[:20]}"
    return {name: client_id if name == "client_id" else str(uuid4()) for name in foreign}


def _filled(body: Any, objects: dict[str, str]) -> Any:
    if not body:
        return body
    return {k: v.format(**objects) if isinstance(v, str) else v for k, v in body.items()}


def _auc(these: list[float], those: list[float]) -> float:
    """Return how often one of these took longer than one of those; a tie is half."""
    ordered = sorted(those)
    above = sum(
        bisect.bisect_left(ordered, one) + bisect.bisect_right(ordered, one) for one in these
    )
    return above / (2 * len(these) * len(those))
