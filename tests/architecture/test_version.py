"""One version, in pyproject.toml; one licence, named where packages name theirs."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from service.cli import main
from service.kernel.version import VERSION
from tests.architecture.source import ROOT


def project(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return found


def test_the_command_line_and_the_openapi_document_say_the_version_of_pyproject() -> None:
    version = project(ROOT)["version"]
    assert version == VERSION
    said = CliRunner().invoke(main, ["--version"])
    assert (said.exit_code, said.output) == (0, f"tesserra-auth {version}\n")
    document = json.loads((ROOT / "openapi" / "tesserra-auth.json").read_text())
    assert document["info"]["version"] == version


def test_no_module_names_a_version_of_its_own() -> None:
    quoted = f'"{VERSION}"'
    modules = [*(ROOT / "service").rglob("*.py"), *(ROOT / "verifier").rglob("*.py")]
    assert [str(path) for path in modules if quoted in path.read_text()] == []


@pytest.mark.parametrize("folder", [ROOT, ROOT / "verifier"], ids=lambda folder: folder.name)
def test_a_package_names_its_licence_and_holds_the_text(folder: Path) -> None:
    found = project(folder)
    assert (found["license"], found["license-files"]) == ("Apache-2.0", ["LICENSE"])
    text = (folder / "LICENSE").read_text()
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert text == (ROOT / "LICENSE").read_text()
