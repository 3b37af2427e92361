"""The attack suite is whole: every attack of the table is tried by a test that exists."""

import ast
from functools import cache

import pytest

from tests.architecture.source import ROOT
from tests.attacks.origins import ATTACKS, MODULES, Attack


@cache
def names(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / path).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, functions))


def test_the_numbers_are_a01_to_a46() -> None:
    assert list(ATTACKS) == [f"A{number:02}" for number in range(1, 47)]


@pytest.mark.parametrize("attack", (ATTACKS | MODULES).values(), ids=[*ATTACKS, *MODULES])
def test_it_is_tried_by_a_test_or_cannot_be(attack: Attack) -> None:
    assert bool(attack.tests) != bool(attack.not_here)
    for test in attack.tests:
        path, _, name = test.partition("::")
        assert name in names(path), test
