"""What runs in `pg.reading()` only reads: every statement there is a SELECT that locks nothing."""

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import pytest

from service.kernel.sql import Command, Rows, Statement
from tests.architecture.source import SERVICE, modules, shown, tree

_WRITES = re.compile(
    r"\b(INSERT|UPDATE|DELETE|TRUNCATE|MERGE|LOCK|SHARE|NOTIFY|pg_\w*advisory\w*)\b", re.IGNORECASE
)
_SAID = re.compile(r"--[^\n]*|'[^']*'")
_READING = [path for path in modules() if ".reading()" in path.read_text()]


def test_there_are_blocks_to_look_at() -> None:
    found = [one for path in _READING for one in statements(path)]
    assert len({one.name for one in found}) >= 20


@pytest.mark.parametrize("path", _READING, ids=shown)
def test_nothing_is_written_in_reading(path: Path) -> None:
    assert [one.name for one in statements(path) if not _reads(one.text)] == []


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("SELECT a FROM b", True),
        ("-- then UPDATE\nWITH x AS (SELECT 'DELETE') SELECT * FROM x", True),
        ("SELECT a, updated_at FROM b", True),
        ("UPDATE b SET a = 1", False),
        ("WITH x AS (DELETE FROM b RETURNING *) SELECT * FROM x", False),
        ("SELECT a FROM b FOR UPDATE OF b", False),
        ("SELECT a FROM b FOR SHARE", False),
        ("SELECT pg_advisory_xact_lock(1)", False),
    ],
)
def test_a_write_is_seen(text: str, reads: bool) -> None:  # noqa: FBT001 - a parameter of the table
    assert _reads(text) is reads


def statements(path: Path) -> Iterator[Statement]:
    """Yield the statements that the `reading()` blocks of a module may run.

    Followed are functions that take a `tx`, in this module and in those that it imports; methods of
    objects are not.
    """
    parts = path.relative_to(SERVICE.parent).with_suffix("").parts
    module = importlib.import_module(".".join(parts))
    seen: set[object] = set()
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.AsyncWith):
            continue
        if not any(ast.unparse(one.context_expr).endswith(".reading()") for one in node.items):
            continue
        for called in (one for line in node.body for one in ast.walk(line)):
            if isinstance(called, ast.Call) and "tx" in map(ast.unparse, called.args):
                yield from _of(_find(module, ast.unparse(called.func)), seen)


def _find(module: ModuleType, dotted: str) -> object:
    found: object = module
    for name in dotted.split("."):
        found = getattr(found, name, None)
    return found


def _of(found: object, seen: set[object]) -> Iterator[Statement]:
    if isinstance(found, Rows | Command):
        yield found.statement
    elif isinstance(found, FunctionType) and found not in seen:
        seen.add(found)
        if "tx" in inspect.signature(found).parameters:
            source = sys.modules[found.__module__]
            names = set(_names(found.__code__))
            reached = [getattr(source, name, None) for name in names]
            inner = [one for one in reached if isinstance(one, ModuleType)]
            ours = [one for one in inner if one.__name__.startswith("service.")]
            for one in [*reached, *(getattr(at, name, None) for at in ours for name in names)]:
                yield from _of(one, seen)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _names(one)


def _reads(text: str) -> bool:
    return _WRITES.search(_SAID.sub("", text)) is None
