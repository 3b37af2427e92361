"""Parts of a page that a command writes, between two marks, from what is checked in."""

from pathlib import Path


def write(page: Path, command: str, shown: str) -> int:
    """Write what a command shows into its part of a page; return the exit status."""
    page.write_text(placed(page.read_text(), command, shown))
    print(f"Wrote what {command} says into {page}.")
    return 0


def placed(text: str, command: str, shown: str) -> str:
    """Return a text with what is shown between the command's marks.  ValueError without them."""
    begin, end = f"<!-- {command} -->", f"<!-- end of {command} -->"
    before, found, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the page lacks {begin} or {end}")
    return f"{before}{begin}\n{shown}\n{end}{after}"
