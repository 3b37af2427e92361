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
        'x = path.split("/")[1] == "oauth"',
        'x = path.strip("/").split("/")[0] in ("oauth", "pages")',
        'match path.split("/"):\n    case ["", "oauth", *_]:\n        pass',
        'x = PurePath(path).parts[1] == "oauth"',
        'PREFIX = "/oauth/"\nx = path.startswith(PREFIX)',
        'PREFIXES: Final = ("/oauth/", "/pages/")\nx = path.startswith(PREFIXES)',
        'parts = path.split("/")\nx = parts[1] == "oauth"',
    ],
)
def test_a_comparison_is_seen(line: str) -> None:
    assert list(comparisons(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "x = known[path]",
        'parts = path.split("/")\nx = routers.get(tuple(parts))',
        'x = text.split(",")[0] == "oauth"',
        'PREFIX = "tsk_"\nx = token.startswith(PREFIX)',
        'x = path.split("/")',
    ],
)
def test_what_compares_no_path_is_let_through(line: str) -> None:
    assert not list(comparisons(ast.parse(line)))


def comparisons(parsed: ast.AST) -> Iterator[int]:
    """Yield the lines that compare something with a path, or with a part of one.

    Seen are paths that are written out, or that a name of the same module stands for, and parts of
    what was split at "/" or of `PurePath.parts`, also by a name.  A path from another module, or
    one that is put together from pieces, is not seen.
    """
    names = _named(parsed)
    for node in ast.walk(parsed):
        match node:
            case ast.Call(func=ast.Attribute(attr=attr), args=args) if attr in _LOOKS:
                looked = args
            case ast.Compare(left=left, comparators=right):
                looked = [left, *right]
            case ast.Match(subject=subject):
                looked = [subject]
            case ast.MatchValue(value=value):
                looked = [value]
            case _:
                continue
        if any(_is_path(one, names) for given in looked for one in ast.walk(given)):
            yield getattr(node, "lineno", 0)


def _named(parsed: ast.AST) -> set[str]:
    """Return the names that stand for a path, for paths, or for the parts of one."""
    found = set()
    for node in ast.walk(parsed):
        match node:
            case ast.Assign(targets=[ast.Name(name)], value=ast.expr() as value):
                pass
            case ast.AnnAssign(target=ast.Name(name), value=ast.expr() as value):
                pass
            case _:
                continue
        of = value.elts if isinstance(value, ast.Tuple | ast.List | ast.Set) else [value]
        if any(_is_path(one, set()) for one in of):
            found.add(name)
    return found


def _is_path(node: ast.AST, names: set[str]) -> bool:
    """Tell whether this is a path or its parts; "/" alone separates other things too."""
    match node:
        case ast.Constant(str(text)):
            return len(text) > 1 and text.removeprefix("^").startswith("/")
        case ast.Constant(bytes(text)):
            return len(text) > 1 and text.removeprefix(b"^").startswith(b"/")
        case ast.Call(func=ast.Attribute(attr="split" | "rsplit"), args=[ast.Constant(at), *_]):
            return at in ("/", b"/")
        case ast.Attribute(attr="parts"):
            return True
        case ast.Name(name):
            return name in names
    return False
