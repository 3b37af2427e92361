"""The documentation as a site: `./dev docs`.

MkDocs wants all pages in one folder.  So every Markdown file of the repository, and every file
that one of them links to, is copied into one, at the same relative paths.  Links then work in the
site as they do in the repository, and MkDocs finds those that lead nowhere, anchors included.

docs/README.md is the table of contents: the navigation is its headings and the links below them.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any

CONTENTS = "docs/README.md"
_STYLE = "docs/site.css"
_HEADING = re.compile(r"^## (.+)$")
_LINK = re.compile(r"\[(?P<title>[^\]]*)\]\((?P<target>[^)\s#]+)(#[^)\s]*)?\)")
_CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_ELSEWHERE = re.compile(r"[a-z]+:")

_CSS = ".md-typeset td:first-child code { white-space: nowrap; }\n"

_FIXED: dict[str, Any] = {
    "site_name": "Tesserra Auth",
    "site_description": "An authorization server whose tokens can be revoked within a second",
    "use_directory_urls": False,
    "theme": {
        "name": "material",
        "font": False,
        "palette": [
            {
                "media": "(prefers-color-scheme: light)",
                "scheme": "default",
                "primary": "indigo",
                "toggle": {"icon": "material/weather-night", "name": "Dark"},
            },
            {
                "media": "(prefers-color-scheme: dark)",
                "scheme": "slate",
                "primary": "indigo",
                "toggle": {"icon": "material/weather-sunny", "name": "Light"},
            },
        ],
        "features": ["navigation.top", "toc.follow", "content.code.copy"],
    },
    "plugins": ["search"],
    "extra": {"generator": False},
    "extra_css": [_STYLE],
    "markdown_extensions": [
        "md_in_html",
        "sane_lists",
        {"toc": {"permalink": True}},
        "pymdownx.highlight",
        "pymdownx.superfences",
    ],
    "validation": {
        "nav": {"omitted_files": "warn", "not_found": "warn", "absolute_links": "warn"},
        "links": {
            "not_found": "warn",
            "absolute_links": "warn",
            "unrecognized_links": "warn",
            "anchors": "warn",
        },
    },
}


def build(root: Path, folder: Path) -> Path | None:
    """Build the site of a repository into a folder.  Return where it is; None when MkDocs warned.

    It warns of a link or an anchor that leads nowhere, and of a page that is not in the contents.
    What it said is printed then.
    """
    shutil.rmtree(folder, ignore_errors=True)
    pages, site = folder / "pages", folder / "site"
    for name in _shown(root):
        (pages / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, pages / name)
    (pages / _STYLE).write_text(_CSS, encoding="utf-8")
    config = {**_FIXED, "docs_dir": str(pages), "site_dir": str(site), "nav": _nav(root)}
    (folder / "mkdocs.yml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    done = subprocess.run(
        [*command, "--config-file", str(folder / "mkdocs.yml")],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout, end="")
        return None
    return site


def serve(site: Path, port: int) -> None:
    """Serve a built site on localhost, until Ctrl-C."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"The documentation is on http://localhost:{port}.  Ctrl-C stops it.", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def markdown(root: Path) -> Iterator[PurePosixPath]:
    """Yield every Markdown file below a folder, but for folders whose names begin with a dot."""
    for at, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.endswith(".md"):
                yield PurePosixPath((Path(at) / name).relative_to(root).as_posix())


def _shown(root: Path) -> set[PurePosixPath]:
    """Return every page, and every file that one links to."""
    pages = set(markdown(root))
    linked = {target for page in pages for _, target in _links(root, page)}
    return pages | {target for target in linked if (root / target).is_file()}


def _links(root: Path, page: PurePosixPath) -> Iterator[tuple[str, PurePosixPath]]:
    """Yield title and file of each link of a page to a place in the repository."""
    text = _CODE.sub("", (root / page).read_text(encoding="utf-8"))
    for found in _LINK.finditer(text):
        if not _ELSEWHERE.match(found["target"]):
            target = os.path.normpath(PurePosixPath(page.parent) / found["target"])
            yield found["title"], PurePosixPath(target)


def _nav(root: Path) -> list[dict[str, Any]]:
    """Return the navigation: the first page, then a section for each heading of the contents."""
    sections: dict[str, list[Any]] = {}
    heading = ""
    for line in (root / CONTENTS).read_text(encoding="utf-8").splitlines():
        if found := _HEADING.match(line):
            heading = found[1]
        for link in _LINK.finditer(line):
            target = os.path.normpath(PurePosixPath(CONTENTS).parent / link["target"])
            if heading and target.endswith(".md"):
                sections.setdefault(heading, []).append({link["title"]: target})
    decisions = sorted((root / "docs" / "decisions").glob("2*.md"))
    sections.setdefault("Decisions", []).extend(
        path.relative_to(root).as_posix() for path in decisions
    )
    first: list[dict[str, Any]] = [{"Start": "README.md"}, {"Contents": CONTENTS}]
    return [*first, *({title: pages} for title, pages in sections.items())]
