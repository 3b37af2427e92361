"""The site: every link leads somewhere, and no page loads anything from elsewhere."""

import re
from pathlib import Path

import pytest

from docs import site
from tests.architecture.source import ROOT

GOOD = {
    "README.md": "# Start\n\n[contents](docs/README.md), [a part](docs/page.md#a-part),"
    " [the code](code.py)\n",
    "docs/README.md": "# Contents\n\n## Explain\n\n- [A page](page.md)\n",
    "docs/page.md": "# A page\n\n## A part\n\n```python\n[no](link)\n```\n",
    "code.py": "",
    ".hidden/README.md": "[not read](nowhere.md)\n",
}


def repository(folder: Path, **changes: str) -> Path:
    """Make a small repository; keys are names without `.md`, with `__` for a slash."""
    changed = {f"{name.replace('__', '/')}.md": text for name, text in changes.items()}
    for name, text in {**GOOD, **changed}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_pages_and_what_they_link_to_are_in_the_site(tmp_path: Path) -> None:
    built = site.build(repository(tmp_path / "repository"), tmp_path / "out")
    assert built is not None
    for name in ("index.html", "docs/index.html", "docs/page.html", "code.py"):
        assert (built / name).is_file(), name
    assert "A page" in (built / "index.html").read_text()  # in the navigation


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"docs__page": "[x](gone.md)"}, "gone.md"),
        ({"docs__page": "[x](../README.md#gone)"}, "gone"),
        ({"docs__page": "[x](../gone.py)"}, "gone.py"),
        ({"docs__page": "[x](/README.md)"}, "/README.md"),
        ({"docs__page": "![x](gone.svg)"}, "gone.svg"),
        ({"docs__forgotten": "# Not in the contents"}, "forgotten.md"),
        ({"docs__README": "# Contents\n\n## Explain\n\n- [Gone](gone.md)\n"}, "gone.md"),
    ],
    ids=["page", "anchor", "file", "absolute", "picture", "not in the contents", "contents"],
)
def test_what_leads_nowhere_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], told: str
) -> None:
    assert site.build(repository(tmp_path / "repository", **changes), tmp_path / "out") is None
    assert told in capsys.readouterr().out


def test_the_site_of_this_repository_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    built = site.build(ROOT, tmp_path)
    assert built is not None
    loads = re.compile(
        r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"?(?:https?:)?//[^>]*>"
        r"|<link\b(?![^>]*rel=\"?(?:canonical|next|prev))[^>]*href=\"?(?:https?:)?//[^>]*>"
    )
    pages = list(built.rglob("*.html"))
    assert len(pages) > 50
    found = {str(page): loads.findall(page.read_text()) for page in pages}
    assert {page: tags for page, tags in found.items() if tags} == {}
    for style in built.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style.read_text()), style
