"""Who may do what: docs/reference/permissions.md is the golden file of the table in code."""

from docs.reference import FOLDER, pages
from service.domain.users import ROLES as EVERY_ROLE
from service.flows.shared.permissions import (
    MANAGEMENT_SCOPES,
    OF_EVERYONE,
    ROLES,
    Permission,
    Scope,
)

GOLDEN = FOLDER / "reference/permissions.md"


def test_the_code_allows_what_the_golden_file_says() -> None:
    assert pages()[GOLDEN] == GOLDEN.read_text(), "if this is meant: ./dev docs --reference"


def test_every_permission_is_in_the_table() -> None:
    assert ROLES.keys() == set(Permission)
    assert set().union(*ROLES.values()) <= set(EVERY_ROLE)


def test_each_permission_but_on_one_s_own_has_a_scope_of_its_name() -> None:
    assert {f"manage:{one}" for one in Permission if one not in OF_EVERYONE} == {*MANAGEMENT_SCOPES}
    assert not MANAGEMENT_SCOPES.keys() & set(Scope)
