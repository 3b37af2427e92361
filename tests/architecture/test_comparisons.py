"""What proves something is compared in constant time: no clock over HTTP sees a single `==`."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.source import modules, shown, tree

PROOF = re.compile(r"(^|_)(mac|secret|password|signature)$")


def proofs(node: ast.AST) -> list[str]:
    """Return the names in a comparison by equality that are called like a proof."""
    if not isinstance(node, ast.Compare):
        return []
    equal = any(isinstance(one, ast.Eq | ast.NotEq) for one in node.ops)
    sides = [node.left, *node.comparators] if equal else []
    names = [getattr(side, "attr", getattr(side, "id", "")) for side in sides]
    return [name for name in names if PROOF.search(name)]


@pytest.mark.parametrize("path", [pytest.param(path, id=shown(path)) for path in modules()])
def test_a41_no_proof_is_compared_by_equality(path: Path) -> None:
    for node in ast.walk(tree(path)):
        assert not proofs(node), f"{shown(path)}: {ast.unparse(node)}: hmac.compare_digest"


def test_it_sees_one() -> None:
    found = [proofs(node) for node in ast.walk(ast.parse("a if mac != self.secret_mac else b"))]
    assert ["mac", "secret_mac"] in found
