"""Nothing but kernel/clock.py asks what time it is: not a module, not a statement.

But for one: when a refresh token is superseded, which is later than any worker knows beforehand,
since the row may have to be waited for.
"""

import ast
import re
from pathlib import Path

import pytest

from service.kernel.sql import SQL
from tests.architecture.source import imports, modules, place, shown, tree

ASKS = frozenset({"now", "utcnow", "today", "time", "time_ns", "monotonic", "perf_counter"})
MODULES = frozenset({"time", "datetime", "date", "dt", "loop"})
IN_SQL = re.compile(
    r"\b(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday)\s*\("
    r"|\b(current_(date|time|timestamp)|localtime(stamp)?)\b",
    re.IGNORECASE,
)

SUPERSEDED = re.compile(r"greatest\((a\.at|\$3::timestamptz|f\.rotated_at), clock_timestamp\(\)\)")

ELSEWHERE = [
    pytest.param(path, id=shown(path))
    for path in modules()
    if place(path)[0] != "embedded" and place(path) != ("kernel", "clock")
]


@pytest.mark.parametrize("path", ELSEWHERE)
def test_no_module_asks_the_time(path: Path) -> None:
    for found in imports(path):
        assert found.module != "time", f"{shown(path)}:{found.line}"
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = node.func.value
        name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
        if isinstance(owner, ast.Call):
            name = "loop" if ast.unparse(owner).endswith("get_running_loop()") else ""
        asked = name in MODULES and node.func.attr in ASKS
        assert not asked, f"{shown(path)}:{node.lineno}: {ast.unparse(node.func)}"


@pytest.mark.parametrize("path", sorted((SQL / "queries").glob("*.sql")), ids=lambda p: p.name)
def test_no_statement_asks_the_time(path: Path) -> None:
    statements = re.sub(r"--.*", "", path.read_text())
    if path.name == "families.sql":
        statements, times = SUPERSEDED.subn("", statements)
        assert times == 3
    assert IN_SQL.search(statements) is None
