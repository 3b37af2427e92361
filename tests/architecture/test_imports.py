"""Who may import whom (DESIGN section 3).  Each exception is listed here, with its reason."""

import ast
import importlib
from pathlib import Path
from typing import Literal, get_origin

import pytest

from tests.architecture.source import imports, modules, place, shown, tree

MAY: dict[str, frozenset[str]] = {
    "kernel": frozenset({"kernel"}),
    "policy": frozenset({"kernel"}),
    "settings": frozenset({"kernel"}),
    "domain": frozenset({"domain", "kernel"}),
    "runtime": frozenset({"domain", "kernel", "policy", "settings"}),
    "flows": frozenset({"flows", "domain", "kernel", "runtime", "policy", "settings"}),
    "http": frozenset({"http", "flows", "domain", "kernel", "runtime", "policy", "settings"}),
    "cli": frozenset({"cli", "flows", "domain", "kernel", "runtime", "policy", "settings"}),
    "app": frozenset({"http", "flows", "kernel", "runtime", "policy", "settings"}),
    "__main__": frozenset({"cli"}),
    "embedded": frozenset({"embedded"}),
    "__init__": frozenset(),
}
"""http|cli -> flows -> domain -> kernel; runtime, policy and settings are known to the edges."""

BESIDE: dict[tuple[str, str], str] = {
    ("cli/server", "app"): "`openapi` writes the document of the application",
}
"""Imports against the table, module by module."""

HOMES: dict[str, tuple[str, ...]] = {
    "asyncpg": ("kernel", "embedded"),
    "redis": ("kernel", "embedded"),
    "litestar": ("http", "app"),
    "click": ("cli",),
    "granian": ("cli",),
    "joserfc": ("kernel/jose",),
    "argon2": ("kernel/passwords",),
    "bcrypt": ("kernel/passwords",),
    "cryptography": ("kernel/jose", "kernel/mac", "kernel/seal"),
    "structlog": ("kernel/log",),
    "idna": ("kernel/hostname",),
    "smtplib": ("kernel/mail",),
}
"""Which library is known where.  Tighter than the design: not even a store knows its driver."""

EVERY = [pytest.param(path, id=shown(path)) for path in modules()]


@pytest.mark.parametrize("path", EVERY)
def test_imports_point_down(path: Path) -> None:
    layer = place(path)[0]
    name = "/".join(place(path))
    for found in imports(path):
        target = found.target()
        if target[0] != "service" or target == ("service",):
            continue
        if (name, target[1]) in BESIDE:
            continue
        assert target[1] in MAY[layer], f"{shown(path)}:{found.line}: {layer} -> {found.module}"


@pytest.mark.parametrize("path", EVERY)
def test_slices_never_import_slices(path: Path) -> None:
    layer, *rest = place(path)
    if layer != "domain":
        return
    for found in imports(path):
        target = found.target()
        if target[:2] == ("service", "domain"):
            assert len(target) > 2, f"{shown(path)}:{found.line}: imports the whole domain"
            assert target[2] == rest[0], f"{shown(path)}:{found.line}: {rest[0]} -> {target[2]}"


@pytest.mark.parametrize("path", EVERY)
def test_a_slice_is_entered_by_its_front_door(path: Path) -> None:
    if place(path)[0] == "domain":
        return
    for found in imports(path):
        where = f"{shown(path)}:{found.line}"
        parts = found.module.split(".")
        if parts[:2] != ["service", "domain"]:
            continue
        assert len(parts) <= 3, f"{where}: {found.module} is a back room"
        assert found.name is not None, f"{where}: imports a slice by its path"
        if len(parts) == 3:
            door = importlib.import_module(found.module)
            assert found.name in door.__all__, f"{where}: {found.name} is not offered by {parts[2]}"


@pytest.mark.parametrize("path", [pytest.param(p, id=shown(p)) for p in modules("http", "cli")])
def test_the_edges_know_the_domain_s_types_only(path: Path) -> None:
    for found in imports(path):
        if not found.module.startswith("service.domain"):
            continue
        where = f"{shown(path)}:{found.line}"
        assert found.module.count(".") == 2, f"{where}: {found.name} is a whole slice"
        given = getattr(importlib.import_module(found.module), found.name or "")
        known = isinstance(given, (type, str, tuple, frozenset)) or get_origin(given) is Literal
        assert known, f"{where}: {found.name} is an act"


@pytest.mark.parametrize("path", [pytest.param(p, id=shown(p)) for p in modules("flows")])
def test_a_folder_of_flows_imports_no_other_but_the_shared_one(path: Path) -> None:
    folder = (*place(path), "")[1]
    for found in imports(path):
        target = found.target()
        if target[:2] == ("service", "flows"):
            assert len(target) > 2, f"{shown(path)}:{found.line}: imports a folder whole"
            allowed = {folder, "shared"}
            assert target[2] in allowed, f"{shown(path)}:{found.line}: {'/'.join(target[2:])}"


@pytest.mark.parametrize("path", EVERY)
def test_a_library_is_known_at_home_only(path: Path) -> None:
    here = "/".join(place(path))
    for found in imports(path):
        homes = HOMES.get(found.module.split(".")[0])
        if homes is not None:
            at_home = any(here == home or here.startswith(f"{home}/") for home in homes)
            assert at_home, f"{shown(path)}:{found.line}: {found.module}"


@pytest.mark.parametrize("path", EVERY)
def test_the_development_servers_are_nobody_s_dependency(path: Path) -> None:
    if place(path)[0] == "embedded":
        return
    for found in imports(path):
        assert found.target()[:2] != ("service", "embedded"), f"{shown(path)}:{found.line}"


@pytest.mark.parametrize("path", [pytest.param(p, id=shown(p)) for p in modules("http")])
def test_wires_hide_no_type_from_the_framework(path: Path) -> None:
    """Litestar resolves the types of handlers at run time."""
    for found in imports(path):
        assert (found.module, found.name) != ("__future__", "annotations"), shown(path)
    names = {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}
    assert "TYPE_CHECKING" not in names, shown(path)
