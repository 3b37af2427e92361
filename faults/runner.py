"""Runs campaigns one after the other, tells how far it is, and what came of it."""

import asyncio
import logging
import random
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench.machine import Machine, describe_machine
from faults.campaigns import Campaign
from faults.invariants import cached, check_standing, plant, search_canaries
from faults.report import EnoughError, Report, Told
from faults.site import Site, deployed
from service.embedded.checkout import ROOT

_STANDARD = ROOT / ".data" / "faults" / "last.json"


class Run(msgspec.Struct, frozen=True):
    """What was asked for."""

    seed: int
    campaigns: Sequence[Campaign]
    quick: bool = False
    scale: float = 1.0
    """Of the full counts."""
    counts: dict[str, int] = {}
    """Rounds of some campaigns, by name."""
    source: Path = ROOT
    enough: str = ""
    """The invariant of which one violation is enough, as when the service is broken on purpose."""
    silent: bool = False
    result: Path = _STANDARD

    def rounds(self, campaign: Campaign) -> int:
        """Return how many rounds a campaign goes."""
        if campaign.name in self.counts:
            return self.counts[campaign.name]
        return campaign.quick if self.quick else max(1, round(campaign.full * self.scale))


def teller(asked: Run) -> Callable[[str], None]:
    """Return what prints a line of progress, with the minutes and seconds from now on."""
    began = time.monotonic()

    def tell(line: str) -> None:
        if not asked.silent:
            print(f"[{_clock(time.monotonic() - began)}] {line}", flush=True)

    return tell


async def run(asked: Run) -> list[Report]:
    """Run everything against one deployment.  Exceptions of a campaign are violations of it."""
    tell = teller(asked)
    # Connections that we cut ourselves end in tasks of libraries that nobody awaits.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    for library in ("asyncpg", "asyncio"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    tell(f"seed {asked.seed}; starting PostgreSQL, Valkey, two proxies and the service")
    reports: list[Report] = []
    async with deployed(asked.source) as site:
        for campaign in asked.campaigns:
            rounds = asked.rounds(campaign)
            tell(f"{campaign.name}: {campaign.about}: {rounds}")
            name = campaign.name
            report = Report(name, tell=lambda line, name=name: tell(f"{name}: {line}"))  # type: ignore[misc]
            report.asked, report.enough = rounds, asked.enough
            reports.append(report)
            dice = random.Random(f"{asked.seed}/{campaign.name}")
            await _campaign(site, campaign, report, dice, rounds)
            if asked.enough and report.violations:
                return reports
        reports.append(await _at_the_end(site))
        asked.result.parent.mkdir(parents=True, exist_ok=True)
        asked.result.with_suffix(".log").write_text(site.said())
    return reports


async def _campaign(
    site: Site, campaign: Campaign, report: Report, dice: random.Random, rounds: int
) -> None:
    try:
        await campaign.run(site, report, dice, rounds)
        async with site.rt.pg.autocommit() as tx:
            await check_standing(tx, report)
    except EnoughError:
        report.whole = False
    except Exception as exc:  # noqa: BLE001 - a campaign that cannot go on is red, not lost
        report.whole = False
        where = traceback.extract_tb(exc.__traceback__)[-1]
        report.violate(
            "harness", f"{type(exc).__name__}: {exc} ({Path(where.filename).name}:{where.lineno})"
        )
    finally:
        site.tap.disarm()
        site.to_postgres.heal()
        site.to_valkey.heal()
        report.seconds = time.monotonic() - report.began


async def _at_the_end(site: Site) -> Report:
    """I9 over everything that was written, while the processes still run."""
    report = Report("secrets")
    site.canaries |= await plant(site, report)
    pids = [site.running.pid, *site.running.workers(), site.postgres.pid, site.valkey.pid]
    async with site.rt.pg.autocommit() as tx:
        texts = {"the log": site.said(), "Valkey": await cached(site.rt.redis.client)}
        await search_canaries(tx, report, site.canaries, texts, pids)
        await check_standing(tx, report)
    report.rounds = len(site.canaries)
    report.seconds = time.monotonic() - report.began
    return report


def table(told: Sequence[Told]) -> str:
    """Return the table at the end, as Markdown."""
    lines = [
        "| campaign | rounds | faults injected | requests | 5xx but 503 | worst recovery | violations |",  # noqa: E501
        "|---|---|---|---|---|---|---|",
    ]
    total: Counter[str] = Counter()
    for one in told:
        bad = sum(n for status, n in one.statuses.items() if status >= 500 and status != 503)
        faults = sum(one.faults.values())
        total.update(rounds=one.rounds, faults=faults, requests=one.requests, bad=bad)
        total["violations"] += len(one.violations)
        lines.append(
            f"| {one.name} | {one.rounds:,} | {faults:,} | {one.requests:,} | {bad} |"
            f" {_seconds(one.worst_recovery_seconds)} | {len(one.violations)} |"
        )
    worst = max((one.worst_recovery_seconds or 0.0 for one in told), default=0.0)
    lines.append(
        f"| **all** | {total['rounds']:,} | {total['faults']:,} | {total['requests']:,} |"
        f" {total['bad']} | {_seconds(worst or None)} | {total['violations']} |"
    )
    return "\n".join(lines)


def _seconds(took: float | None) -> str:
    return "" if took is None else f"{took:.2f} s"


class Result(msgspec.Struct, frozen=True):
    """Everything that was counted, with what it was counted on."""

    machine: Machine
    seed: int
    quick: bool
    beside: int
    rounds: dict[str, int]
    seconds: float
    campaigns: list[Told]


def write_result(asked: Run, beside: int, told: Sequence[Told], seconds: float) -> None:
    """Write it down."""
    result = Result(
        machine=describe_machine(),
        seed=asked.seed,
        quick=asked.quick,
        beside=beside,
        rounds={campaign.name: asked.rounds(campaign) for campaign in asked.campaigns},
        seconds=round(seconds, 1),
        campaigns=list(told),
    )
    asked.result.parent.mkdir(parents=True, exist_ok=True)
    asked.result.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:3}:{int(seconds) % 60:02}"
