"""Planted secrets: in no table, no event, no error, no line (invariant of DESIGN 4.11).

What a process writes and how it is called is held in tests/system.
"""

import base64
from collections.abc import Callable

import httpx2
import pytest
import structlog

from service.runtime import Runtime
from tests import given
from tests.http import asking
from tests.processes import MASTER_KEY

WRONG = "canary of a wrong password"
NEW = "canary of a password to come"
STRAY = "canary-of-something-stray"


async def everything_stored(rt: Runtime) -> dict[str, str]:
    """Return each table of the deployment as text; bytes stand there in hexadecimal."""
    async with rt.pg.autocommit() as tx:
        tables = await tx.fetch(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace ="
            " 'public'::regnamespace"
        )
        return {
            row["relname"]: "\n".join(
                one[0] for one in await tx.fetch(f'SELECT t::text FROM "{row["relname"]}" t')
            )
            for row in tables
        }


async def test_planted_secrets_are_stored_said_and_told_nowhere(
    rt: Runtime, browser: Callable[..., httpx2.AsyncClient], capfd: pytest.CaptureFixture[str]
) -> None:
    structlog.reset_defaults()  # every line, whatever a test before has set
    ada = await given.a_person(rt)
    client, other = browser(agent="plain"), browser(agent="plain")
    refused: list[httpx2.Response] = []
    first = await asking.sign_in(client, ada)
    second = await asking.renew(client)
    third = await asking.renew(client)
    answers = [first, second, third, await asking.sign_in(other, ada)]

    refused.append(await asking.sign_in(other, ada, WRONG))
    refused.append(await other.post("/auth/login", json={"email": STRAY, "password": WRONG}))
    refused.append(await other.post("/auth/login", json={"email": STRAY, STRAY: WRONG}))
    refused.append(await other.post("/auth/login", content=f'{{"{STRAY}": "{WRONG}'.encode()))
    refused.append(
        await other.post(
            "/auth/login", json={"email": ada.email, "password": 7, "organization": STRAY}
        )
    )
    refused.append(await asking.renew(other, STRAY))
    refused.append(await other.get("/auth/me", headers={"authorization": f"Bearer {STRAY}"}))
    refused.append(await other.get(f"/{STRAY}?token={STRAY}"))
    for current, new in ((WRONG, NEW), (ada.password, "password"), (ada.password, NEW)):
        changed = await client.put(
            "/auth/password",
            json={"current_password": current, "new_password": new},
            headers=asking.bearer(third),
        )
        refused += [changed] if changed.status_code >= 400 else []
    await given.no_grace(rt)
    refused.append(await asking.renew(client, asking.cookie(first)))  # a replay: burns
    assert {answer.status_code for answer in refused} == {400, 401, 404, 415}
    assert (await given.kinds(rt)).count("family.burned") == 1

    tokens = {asking.cookie(answer) for answer in answers}
    tokens |= {asking.cookie(answer, asking.DEVICE) for answer in (first, answers[-1])}
    tokens |= {answer.json()["access_token"] for answer in answers}
    signatures = {token.rpartition(".")[2] for token in tokens}
    secrets = {ada.password, WRONG, NEW, MASTER_KEY, *tokens, *signatures}

    for answer in refused:
        for secret in (*secrets, STRAY):
            assert secret not in answer.text
    out, err = capfd.readouterr()
    assert "/auth/login" in out
    for secret in (*secrets, STRAY):
        assert secret not in out + err
    for table, text in (await everything_stored(rt)).items():
        for secret in (*secrets, base64.urlsafe_b64decode(MASTER_KEY).hex()):
            assert secret not in text, table
            assert secret.encode().hex() not in text, table
        if table.startswith("auth_eventos"):
            assert STRAY not in text
