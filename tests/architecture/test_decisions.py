"""What is revoked is collected by the decision it is made in, and published by that alone.

And sessions are ended in one place, with their families, an event and a revocation.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import SERVICE, modules, shown, tree

ANNOUNCES = frozenset({"announce", "publish_by", "after_commit"})
"""What composition, the kernel and the slices call: a flow that called one could forget another."""

REVOKES = frozenset({"revoke", "cut_off"})

Function = ast.FunctionDef | ast.AsyncFunctionDef


def announcing(module: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield each call by which something is announced, and its line."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in ANNOUNCES:
                yield node.lineno, name


def revoking_outside(module: ast.AST) -> Iterator[int]:
    """Yield the line of each call that revokes by something that is no decision."""
    for function in ast.walk(module):
        if not isinstance(function, Function):
            continue
        deciding = set(_decisions(function))
        for node in ast.walk(function):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            home = node.func.value
            if (
                isinstance(home, ast.Name)
                and home.id == "revocations"
                and node.func.attr in REVOKES
            ):
                tx = node.args[0]
                if not (isinstance(tx, ast.Name) and tx.id in deciding):
                    yield node.lineno


def _decisions(function: Function) -> Iterator[str]:
    """Yield the names that are a decision in a function: lent by one, or a parameter."""
    for each in (*function.args.args, *function.args.kwonlyargs):
        if isinstance(each.annotation, ast.Name) and each.annotation.id == "Decision":
            yield each.arg
    for node in ast.walk(function):
        for item in node.items if isinstance(node, ast.AsyncWith) else ():
            lends = item.context_expr
            method = lends.func if isinstance(lends, ast.Call) else None
            decides = isinstance(method, ast.Attribute) and method.attr == "decision"
            if decides and isinstance(item.optional_vars, ast.Name):
                yield item.optional_vars.id


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=shown(p)) for p in modules("flows", "http", "cli")]
)
def test_no_flow_announces(path: Path) -> None:
    assert [*announcing(tree(path))] == []


@pytest.mark.parametrize("path", [pytest.param(p, id=shown(p)) for p in modules("flows")])
def test_what_revokes_is_a_decision(path: Path) -> None:
    assert [*revoking_outside(tree(path))] == []


ENDING = SERVICE / "flows" / "shared" / "ending.py"


def ending(module: ast.AST) -> Iterator[int]:
    """Yield the line of each statement that ends rows of sessions, or their families."""
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            home, act = node.value.id, node.attr
            if (home == "sessions" and act.startswith("end_")) or act == "end_by_session":
                yield node.lineno


@pytest.mark.parametrize("path", [pytest.param(p, id=shown(p)) for p in modules("flows")])
def test_sessions_end_in_one_place(path: Path) -> None:
    assert bool([*ending(tree(path))]) is (path == ENDING)


BOTH = """
async def f(rt):
    async with rt.pg.decision() as tx:
        await revocations.cut_off(tx, 1)
    async with rt.pg.autocommit() as other:
        await revocations.cut_off(other, 1)
"""


@pytest.mark.parametrize(
    ("source", "announced", "revoked"),
    [
        ("async def f(rt): await rt.revocations.announce([])", 1, 0),
        ("async def f(rt, tx): await announce(rt, [])", 1, 0),
        ("async def f(tx: Decision): await revocations.revoke(tx, 1)", 0, 0),
        ("async def f(tx: Tx): await revocations.revoke(tx, 1)", 0, 1),
        (BOTH, 0, 1),
    ],
)
def test_the_rules_see_what_breaks_them(source: str, announced: int, revoked: int) -> None:
    module = ast.parse(source)
    assert (len([*announcing(module)]), len([*revoking_outside(module)])) == (announced, revoked)
