"""Every permission stands in the table, and has a scope of its name.

Who may do what is reviewed in docs/reference/permissions.md; tests/docs/ compares it.
"""

from service.domain.users import ROLES as EVERY_ROLE
from service.flows.shared.permissions import (
    MANAGEMENT_SCOPES,
    OF_EVERYONE,
    ROLES,
    Permission,
    Scope,
)


def test_every_permission_is_in_the_table() -> None:
    assert ROLES.keys() == set(Permission)
    assert set().union(*ROLES.values()) <= set(EVERY_ROLE)


def test_each_permission_but_on_one_s_own_has_a_scope_of_its_name() -> None:
    assert {f"manage:{one}" for one in Permission if one not in OF_EVERYONE} == {*MANAGEMENT_SCOPES}
    assert not MANAGEMENT_SCOPES.keys() & set(Scope)
