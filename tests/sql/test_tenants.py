"""The tenant filter as a rule: a statement on an organization's tables filters by `tenant_id`.

Or it stands below, with the reason why it does not.  A chain of events is an organization's, and
`chain_id` its name.  Which tables are meant, the schema says: those with either column.
"""

import re

import pytest

from service.kernel.sql import SQL, Queries

THEIRS = "whose it is comes with the row, and the flow compares"
OWN = "a person's own, wherever they are a member"
SECRET = "found by a secret that names one row of one organization"
HELD = "the row its caller holds, found within reach first"
EVERYBODY = "upkeep for everybody, by age or by state alone"
SERVER = "the server's own copy, filtered where it is read"
PLATFORM = "the operator's and the platform's own look at all of them"

EXCEPT: dict[str, str] = {
    "apikeys.find": THEIRS,
    "clients.find": THEIRS,
    "sessions.find": THEIRS,
    "vault.find_recipient": THEIRS,
    "vault.list_recipients": THEIRS,
    "clients.find_enabled": "who presents itself: its organization is what it acts in",
    "sessions.list_live": OWN,
    "sessions.lock_live": OWN,
    "sessions.end_one": OWN,
    "sessions.end_client": "of the client its caller holds, in every organization",
    "sessions.erase": OWN,
    "users.list_memberships": OWN,
    "users.lock_memberships": OWN,
    "users.list_joined": OWN,
    "users.list_owned": OWN,
    "users.leave_all": OWN,
    "users.is_last_way_in": "who administers the platform, wherever they are a member",
    "apikeys.erase": OWN,
    "invitations.forget": "everything sent to a person who is erased, everywhere",
    "apikeys.list_presented": SECRET,
    "families.rotate": SECRET,
    "families.find_standing": "of the session its caller holds",
    "families.find": SECRET,
    "families.lock": SECRET,
    "families.find_owner": SECRET,
    "invitations.lock_open": SECRET,
    "apikeys.revoke": HELD,
    "apikeys.succeed": HELD,
    "apikeys.delete": HELD,
    "invitations.use": HELD,
    "apikeys.any_ending": EVERYBODY,
    "apikeys.end_expired": EVERYBODY,
    "apikeys.add_uses": "counters of keys that were checked, by id",
    "audit.list_months": "names of partitions, no rows",
    "audit.has_unsealed": EVERYBODY,
    "audit.lock_months": "a lock, no rows",
    "invitations.prune": EVERYBODY,
    "revocations.prune": EVERYBODY,
    "revocations.list_after": SERVER,
    "revocations.find": "what the same caller made before, by the number it was kept under",
    "revocations.find_any": SERVER,
    "seals.list_unsealed": EVERYBODY,
    "seals.list_unsealed_after_restore": EVERYBODY,
    "seals.list_due": EVERYBODY,
    "seals.list_waiting": PLATFORM,
    "seals.list_every_chain": PLATFORM,
    "seals.list_recorded": PLATFORM,
    "seals.list_signed": PLATFORM,
    "seals.find_public_jwk": "a public key by its thumbprint",
    "sessions.prune": EVERYBODY,
    "vault.list_sealed": "everything is sealed anew when the master key is",
}

_BEARS = re.compile(r"^CREATE TABLE public\.(\w+) \((.*?)^\)", re.DOTALL | re.MULTILINE)
_FILTERS = re.compile(
    r"\b(tenant_id|chain_id)\s*(=|IS NOT DISTINCT FROM)\s*(\$|ANY \(\$)"
    r"|INSERT INTO \w+( AS \w+)? \([^)]*\b(tenant_id|chain_id)\b"
)


def tables() -> set[str]:
    """Return the tables whose rows belong to an organization."""
    schema = (SQL / "schema.sql").read_text()
    found = {
        name
        for name, columns in _BEARS.findall(schema)
        if re.search(r"^\s+(tenant_id|chain_id) ", columns, re.MULTILINE)
    }
    return found - {"auth_organizations"}


def every() -> list[tuple[str, str]]:
    concerned = re.compile(rf"\b({'|'.join(sorted(tables()))})\b")
    return [
        (f"{path.stem}.{statement.name}", re.sub(r"--[^\n]*", "", statement.text))
        for path in sorted((SQL / "queries").glob("*.sql"))
        for statement in Queries(path.stem).statements.values()
        if concerned.search(re.sub(r"--[^\n]*", "", statement.text))
    ]


def test_the_tables_are_known() -> None:
    assert {"auth_sessions", "auth_eventos", "auth_api_keys", "auth_event_seals"} <= tables()
    assert len(tables()) >= 11


@pytest.mark.parametrize(("name", "code"), [pytest.param(*s, id=s[0]) for s in every()])
def test_it_filters_by_the_organization_or_says_why_not(name: str, code: str) -> None:
    filters = _FILTERS.search(code) is not None
    assert filters != (name in EXCEPT), EXCEPT.get(name, "no filter, no reason")
    if EXCEPT.get(name) == THEIRS:
        assert re.search(r"\btenant_id\b", code), "whose it is does not come with the row"


def test_no_reason_outlives_its_statement() -> None:
    assert EXCEPT.keys() <= {name for name, _ in every()}
