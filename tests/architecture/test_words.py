"""Docstrings are short enough to be understood at first reading."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import modules, shown, tree

FIRST, LONGEST = 25, 35
"""Words: in the first sentence of a docstring, and in any sentence of it."""

_ITEM = re.compile(r"^\s*(?:[-*]|\d+\.)\s+", re.MULTILINE)
_BREAK = re.compile(r"\n\s*\n")
_END = re.compile(r"(?<=[.?!])\s+")
_PART = re.compile(r"(?<=;)\s+|(?<=:)\s+")


def docstrings(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and text of every docstring, also of those below constants and fields."""
    for node in ast.walk(module):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield node.lineno, text


def sentences(text: str) -> list[str]:
    """Split a docstring at full stops, paragraphs and the items of lists."""
    blocks = _BREAK.split(_ITEM.sub("\n\n", text))
    return [one for block in blocks for one in _END.split(" ".join(block.split())) if one]


@pytest.mark.parametrize("path", modules(), ids=shown)
def test_the_first_sentence_is_short_and_ends(path: Path) -> None:
    for line, text in docstrings(tree(path)):
        first = sentences(text)[0]
        assert first[-1] in ".:?!", f"{shown(path)}:{line}: no full stop: {first}"
        assert len(first.split()) <= FIRST, f"{shown(path)}:{line}: over {FIRST} words: {first}"


@pytest.mark.parametrize("path", modules(), ids=shown)
def test_no_sentence_is_long(path: Path) -> None:
    """A colon or a semicolon begins a part that is read, and counted, by itself."""
    for line, text in docstrings(tree(path)):
        for part in (part for one in sentences(text) for part in _PART.split(one)):
            assert len(part.split()) <= LONGEST, f"{shown(path)}:{line}: over {LONGEST}: {part}"


def test_sentences_are_told_apart() -> None:
    text = "One two.  Three (RFC 1 section 2.3)?\n\n- Four\n  five.\n- Six.\n"
    assert sentences(text) == ["One two.", "Three (RFC 1 section 2.3)?", "Four five.", "Six."]
