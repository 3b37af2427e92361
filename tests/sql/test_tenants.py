"""The tenant filter as a rule: a statement on an organization's tables names `tenant_id`.

Or it stands below, with the reason why it needs none.
"""

import re

import pytest

from service.kernel.sql import SQL, Queries

TABLES = (
    "auth_memberships",
    "auth_sessions",
    "auth_clients",
    "auth_api_keys",
    "auth_invitations",
    "auth_eventos",
    "auth_secrets",
)
"""Tables whose rows belong to an organization."""

EXCEPT: dict[str, str] = {
    "apikeys.revoke": "the row its caller holds, found within reach first",
    "apikeys.succeed": "the row its caller holds, found within reach first",
    "apikeys.delete": "the row its caller holds, found within reach first",
    "apikeys.any_ending": "whether any key's time has come, of everybody",
    "apikeys.add_uses": "counters of keys that were checked, by id",
    "audit.list_months": "names of partitions, no rows",
    "audit.has_unsealed": "whether anything is left to seal, in all chains",
    "sessions.erase": "everything of a person who is erased, everywhere",
    "invitations.forget": "everything sent to a person who is erased, everywhere",
    "sessions.prune": "expired rows of everybody, by age alone",
    "invitations.use": "the row its caller has just locked by the link's secret",
    "invitations.prune": "expired rows of everybody, by age alone",
}


def every() -> list[tuple[str, str]]:
    concerned = re.compile(rf"\b({'|'.join(TABLES)})\b")
    return [
        (f"{path.stem}.{statement.name}", statement.text)
        for path in sorted((SQL / "queries").glob("*.sql"))
        for statement in Queries(path.stem).statements.values()
        if concerned.search(statement.text)
    ]


@pytest.mark.parametrize(("name", "text"), [pytest.param(*s, id=s[0]) for s in every()])
def test_it_names_the_organization_or_says_why_not(name: str, text: str) -> None:
    code = re.sub(r"--[^\n]*", "", text)
    named = re.search(r"\b(tenant_id|chain_id)\b", code) is not None  # a chain is an organization's
    assert named != (name in EXCEPT), EXCEPT.get(name, "no tenant_id, no reason")


def test_no_reason_outlives_its_statement() -> None:
    assert EXCEPT.keys() <= {name for name, _ in every()}
