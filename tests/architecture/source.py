"""The service's modules as text and trees: what the rules are checked on."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SERVICE = ROOT / "service"


class Import(NamedTuple):
    """`import module`, or `from module import name`; also inside functions."""

    module: str
    name: str | None
    line: int

    def target(self) -> tuple[str, ...]:
        """Return the path of the module that is really imported."""
        parts = tuple(self.module.split("."))
        return (*parts, self.name) if self.name and _is_module(*parts, self.name) else parts


def modules(*under: str) -> list[Path]:
    """Return every module of the service, or of folders of it."""
    folders = [SERVICE / part for part in under] or [SERVICE]
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    """Parse a module."""
    return ast.parse(path.read_text(), str(path))


def imports(path: Path) -> Iterator[Import]:
    """Return every import in a module, wherever it stands."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{shown(path)}:{node.lineno}: a relative import"
            for alias in node.names:
                yield Import(node.module or "", alias.name, node.lineno)


def place(path: Path) -> tuple[str, ...]:
    """Return where a module is: ("domain", "families", "store")."""
    parts = path.relative_to(SERVICE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts


def shown(path: Path) -> str:
    """Return a path as messages show it."""
    return path.relative_to(ROOT).as_posix()


def _is_module(*parts: str) -> bool:
    at = ROOT.joinpath(*parts)
    return at.with_suffix(".py").exists() or (at / "__init__.py").exists()
