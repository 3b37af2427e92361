"""Who may do what, as a golden file: a change of a permission is a change of permissions.txt."""

from pathlib import Path

from service.domain.users import ROLES as EVERY_ROLE
from service.flows.authority import ROLES, Act

GOLDEN = Path(__file__).with_name("permissions.txt")


def table() -> str:
    """Draw the table: acts down, roles across."""
    roles = [*EVERY_ROLE, "platform_admin"]
    width = max(len(act.value) for act in Act) + 2
    lines = ["act".ljust(width) + "  ".join(role.ljust(8) for role in roles).rstrip()]
    for act in sorted(Act, key=lambda act: act.value):
        # A name with a colon is a scope: services hold it, no role does.
        marks = ["yes" if role in ROLES[act] else "-" for role in EVERY_ROLE]
        marks.append("-" if ":" in act.value else "yes")
        lines.append(act.value.ljust(width) + "  ".join(m.ljust(8) for m in marks).rstrip())
    return "\n".join(lines) + "\n"


def test_the_code_allows_what_the_golden_file_says() -> None:
    assert table() == GOLDEN.read_text(), f"if this is meant, write it down:\n{table()}"


def test_every_act_is_in_the_table() -> None:
    assert ROLES.keys() == set(Act)
