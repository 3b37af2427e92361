"""No wire decides by how a path begins or ends: what a route is like is the route's own word."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import modules, shown, tree

_LOOKS = {"startswith", "endswith", "removeprefix", "removesuffix", "partition", "find", "index"}
_LOOKS |= {"match", "fullmatch", "search"}


@pytest.mark.parametrize("module", modules("http"), ids=shown)
def test_no_path_is_compared(module: Path) -> None:
    assert list(comparisons(tree(module))) == []


@pytest.mark.parametrize(
    "line",
    [
        'x = path.startswith("/oauth/")',
        'x = path.startswith(("/oauth", "/pages"))',
        'x = raw_path[:7] == b"/oauth/"',
        'x = "/oauth/token" != path',
        'x = path in ("/a", "/b")',
        'x = "/oauth" in path',
        'x = re.match(r"^/oauth", path)',
        'match path:\n    case "/oauth/token":\n        pass',
    ],
)
def test_a_comparison_is_seen(line: str) -> None:
    assert list(comparisons(ast.parse(line)))


def comparisons(parsed: ast.AST) -> Iterator[int]:
    """Yield the lines that compare something with a path, or with a part of one."""
    for node in ast.walk(parsed):
        match node:
            case ast.Call(func=ast.Attribute(attr=attr), args=args) if attr in _LOOKS:
                looked = args
            case ast.Compare(left=left, comparators=right):
                looked = [left, *right]
            case ast.MatchValue(value=value):
                looked = [value]
            case _:
                continue
        if any(_is_path(one) for given in looked for one in ast.walk(given)):
            yield getattr(node, "lineno", 0)


def _is_path(node: ast.AST) -> bool:
    """Tell whether a constant is a path; "/" alone separates others things too."""
    match node:
        case ast.Constant(str(text)):
            return len(text) > 1 and text.removeprefix("^").startswith("/")
        case ast.Constant(bytes(text)):
            return len(text) > 1 and text.removeprefix(b"^").startswith(b"/")
    return False
