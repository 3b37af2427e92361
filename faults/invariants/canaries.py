"""I9: planted secrets are in no table, no log line and no process argument."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from faults.report import Report
from service.kernel.sql import Tx


async def search_canaries(
    tx: Tx, report: Report, canaries: Mapping[str, str], log: str, pids: Iterable[int]
) -> None:
    """Look everywhere; `canaries` are secrets by what they are."""
    places = {"the log": log, **_arguments(pids), **await _tables(tx)}
    for place, text in places.items():
        for what, secret in canaries.items():
            found = secret in text or secret.encode().hex() in text
            report.expect("I9", not found, f"a {what} is in {place}")


async def _tables(tx: Tx) -> dict[str, str]:
    names = await tx.fetch(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = current_schema()::regnamespace"
    )
    texts = {}
    for name in (row["relname"] for row in names):
        rows = await tx.fetch(f'SELECT t::text FROM "{name}" t LIMIT 50000')  # noqa: S608 - a name of ours
        texts[f"table {name}"] = "\n".join(row[0] for row in rows)
    return texts


def _arguments(pids: Iterable[int]) -> dict[str, str]:
    found = {}
    for pid in pids:
        try:
            raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        found[f"the arguments of process {pid}"] = raw.replace(b"\0", b" ").decode(errors="replace")
    return found
