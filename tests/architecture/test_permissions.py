"""Who may do what, as a golden file: a change of a permission is a change of permissions.txt."""

from pathlib import Path

from service.domain.users import ROLES as EVERY_ROLE
from service.flows.shared.permissions import ROLES, Permission

GOLDEN = Path(__file__).with_name("permissions.txt")


def table() -> str:
    """Draw the table: permissions down, roles across."""
    roles = [*EVERY_ROLE, "platform_admin"]
    width = max(len(permission.value) for permission in Permission) + 2
    lines = ["permission".ljust(width) + "  ".join(role.ljust(8) for role in roles).rstrip()]
    for permission in sorted(Permission, key=lambda permission: permission.value):
        marks = ["yes" if role in ROLES[permission] else "-" for role in EVERY_ROLE]
        marks.append("yes")
        lines.append(permission.value.ljust(width) + "  ".join(m.ljust(8) for m in marks).rstrip())
    return "\n".join(lines) + "\n"


def test_the_code_allows_what_the_golden_file_says() -> None:
    assert table() == GOLDEN.read_text(), f"if this is meant, write it down:\n{table()}"


def test_every_permission_is_in_the_table() -> None:
    assert ROLES.keys() == set(Permission)
