"""Draws docs/*.svg: `python -m docs.pictures`.  Plain shapes, the same bytes every time."""

from html import escape
from pathlib import Path

FOLDER = Path(__file__).parent
INK, PAPER, SOFT, LINE, ACCENT = "#1d2433", "#ffffff", "#eef2f9", "#8a94a8", "#2f6fde"
FONT = "ui-sans-serif, system-ui, sans-serif"


class Sheet:
    """Shapes on paper."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.size = width, height
        self.title = title
        self.shapes: list[str] = []

    def box(self, x: int, y: int, w: int, h: int, *lines: str, fill: str = SOFT) -> None:
        """Draw a box; its first line is bold."""
        self.shapes.append(
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="8" fill="{fill}" stroke="{LINE}"/>'
        )
        top = y + (h - 18 * len(lines)) // 2 + 14
        for number, line in enumerate(lines):
            weight = 600 if number == 0 else 400
            self.text(x + w // 2, top + 18 * number, line, weight=weight)

    def text(self, x: int, y: int, text: str, *, weight: int = 400, anchor: str = "middle") -> None:
        """Write a line."""
        self.shapes.append(
            f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-weight="{weight}">'
            f"{escape(text)}</text>"
        )

    def arrow(
        self, x1: int, y1: int, x2: int, y2: int, label: str = "", *, dashed: bool = False
    ) -> None:
        """Draw an arrow, labelled at its middle."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.shapes.append(
            f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{ACCENT}" stroke-width="1.6"'
            f' marker-end="url(#tip)"{dash}/>'
        )
        if label:
            self.text((x1 + x2) // 2, (y1 + y2) // 2 - 6, label)

    def save(self, name: str) -> None:
        """Write the file."""
        width, height = self.size
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
            f' aria-label="{escape(self.title)}" font-family="{FONT}" font-size="13" fill="{INK}">'
            f"<title>{escape(self.title)}</title>"
            f'<rect width="{width}" height="{height}" fill="{PAPER}"/>'
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
            ' markerHeight="7" orient="auto">'
            f'<path d="M0 0 8 4 0 8z" fill="{ACCENT}"/></marker></defs>'
        )
        (FOLDER / name).write_text("\n".join([head, *self.shapes, "</svg>"]) + "\n")


def architecture() -> None:
    """Who talks to whom, and how data flows inside."""
    sheet = Sheet(880, 430, "Architecture: callers, the service's four layers, the two servers")
    sheet.box(20, 30, 170, 56, "Web console", "cookie + access token")
    sheet.box(20, 120, 170, 56, "Administrators", "HTTP, command line")
    sheet.box(20, 210, 170, 56, "Machines", "client secret, API key")
    sheet.box(20, 330, 170, 74, "Your services", "verifier: JWKS +", "revocation feed")
    sheet.box(300, 20, 300, 300, "", fill=PAPER)
    sheet.text(450, 42, "one worker of the service", weight=600)
    sheet.box(320, 56, 260, 50, "http / cli", "parse, call one flow, render")
    sheet.box(320, 122, 176, 50, "flows", "one file for each act")
    sheet.box(504, 122, 76, 50, "shared", "by flows")
    sheet.box(320, 188, 260, 50, "domain", "a package for each thing stored")
    sheet.box(320, 254, 260, 50, "kernel", "clock, SQL, sealing, passwords")
    for y in (106, 172, 238):
        sheet.arrow(450, y, 450, y + 16)
    for y in (58, 148, 238):
        sheet.arrow(190, y, 300, min(y, 220))
    sheet.box(670, 60, 196, 74, "PostgreSQL", "the truth", "one transaction for each act")
    sheet.box(670, 210, 196, 74, "Redis", "fast, may be lost", "limits, news of revocations")
    sheet.arrow(600, 97, 670, 97)
    sheet.arrow(600, 247, 670, 247)
    sheet.arrow(300, 300, 190, 345)
    sheet.text(300, 368, "keys and revocations, within a second", anchor="start")
    sheet.text(300, 390, "tokens are checked offline: no call per request", anchor="start")
    sheet.save("architecture.svg")


def rotation() -> None:
    """What happens to a refresh token that is presented."""
    sheet = Sheet(940, 400, "Refresh: what a presented token is worth")
    sheet.box(20, 165, 180, 70, "token presented", "handle . generation . MAC")
    worth = (
        (("MAC is not ours",), ("refused", "nothing is burned")),
        (("the current one",), ("a new successor", "one UPDATE, one round trip")),
        (
            ("superseded up to 10 s before it arrived", "whatever was used meanwhile"),
            ("the current one again", "ten tabs send one cookie at once"),
        ),
        (
            ("the previous one, up to a minute", "successor unused, same network and agent"),
            ("the current one again", "an answer may have been lost"),
        ),
        (
            ("superseded longer ago", "somebody holds a copy"),
            ("family and session ended", "its tokens die in a second"),
        ),
    )
    for row, (which, what) in enumerate(worth):
        y = 20 + 70 * row
        sheet.box(290, y, 310, 52, *which)
        sheet.box(680, y, 240, 52, *what)
        sheet.arrow(200, 200, 290, y + 26)
        sheet.arrow(600, y + 26, 680, y + 26)
    sheet.text(470, 386, "one row per family: there is never a second live token")
    sheet.save("rotation.svg")


if __name__ == "__main__":
    architecture()
    rotation()
