"""Parts of the README that are written by a command, between two marks, from what is checked in."""

from service.embedded.checkout import ROOT

README = ROOT / "README.md"


def write(command: str, shown: str) -> int:
    """Write what a command shows into its part of the README; return the exit status."""
    README.write_text(placed(README.read_text(), command, shown))
    print(f"Wrote what {command} says into {README}.")
    return 0


def placed(text: str, command: str, shown: str) -> str:
    """Return a text with what is shown between the command's marks.  ValueError without them."""
    begin, end = f"<!-- {command} -->", f"<!-- end of {command} -->"
    before, found, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"README.md lacks {begin} or {end}")
    return f"{before}{begin}\n{shown}\n{end}{after}"
