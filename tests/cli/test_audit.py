"""`audit verify`, `audit export`, `audit checkpoints`, `prune`: what a shell sees of them."""

import gzip
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from service.kernel.call import Call
from service.kernel.ids import TenantId
from service.runtime import Runtime
from service.settings import Settings
from tests import given
from tests.cli.shell import refusal
from tests.cli.shell import run as shell
from tests.flows.upkeep.trails import run, seal_all, sign_all, some_events

Made = Callable[..., Call]


async def sealed(rt: Runtime, call: Made) -> TenantId:
    tenant = await given.an_organization(rt, "acme")
    await some_events(rt, call, tenant, 5)
    await some_events(rt, call, None, 2)
    await seal_all(rt)
    await sign_all(rt)
    return tenant


async def test_verify_says_that_nothing_was_changed(
    rt: Runtime, call: Made, settings: Settings
) -> None:
    await sealed(rt, call)
    done = shell(settings, "audit", "verify", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["valid"], told["events"], len(told["chains"])) == (True, 7, 2)
    one = shell(settings, "audit", "verify", "--organization", "acme")
    assert "5 events in 1 chains" in one.stdout
    assert "0 not sealed yet: nothing was changed" in one.stdout
    assert "2 events" in shell(settings, "audit", "verify", "--platform").stdout


async def test_verify_says_since_when_an_event_waits_for_its_seal(
    rt: Runtime, call: Made, settings: Settings
) -> None:
    tenant = await sealed(rt, call)
    await some_events(rt, lambda: call(at=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)), tenant, 1)
    done = shell(settings, "audit", "verify")
    assert (done.returncode, "1 not sealed yet (since 2026-05-04 03:02:01 UTC)" in done.stdout) == (
        0,
        True,
    )


async def test_verify_names_what_was_changed_and_fails(
    rt: Runtime, call: Made, settings: Settings
) -> None:
    tenant = await sealed(rt, call)
    await run(
        rt,
        "UPDATE auth_eventos SET event_type = 'x' WHERE event_id ="
        " (SELECT event_id FROM auth_event_seals WHERE chain_id = $1 AND position = 3)",
        tenant,
    )
    done = shell(settings, "audit", "verify")
    assert done.returncode == 1
    line = done.stdout.splitlines()[0]
    assert line.startswith(f"changed: chain {tenant}, position 3, event ")
    told = json.loads(shell(settings, "audit", "verify", "--json").stdout)
    faults = [found["fault"] for chain in told["chains"] for found in chain["findings"]]
    assert (told["valid"], faults) == (False, ["changed"])


async def test_verify_against_checkpoints_that_were_kept_elsewhere(
    rt: Runtime, call: Made, settings: Settings, tmp_path: Path
) -> None:
    tenant = await sealed(rt, call)
    kept = tmp_path / "kept.jsonl"
    kept.write_text(shell(settings, "audit", "checkpoints").stdout)
    assert len(kept.read_text().splitlines()) == 2
    assert shell(settings, "audit", "verify", "--checkpoint", kept).returncode == 0
    for table in ("auth_event_seals", "auth_event_chains", "auth_event_checkpoints"):
        await run(rt, f"DELETE FROM {table} WHERE chain_id = $1", tenant)
    await run(rt, "DELETE FROM auth_eventos WHERE tenant_id = $1", tenant)
    assert shell(settings, "audit", "verify").returncode == 0
    done = shell(settings, "audit", "verify", "--checkpoint", kept)
    assert done.returncode == 1
    assert done.stdout.startswith(f"truncated: chain {tenant}")
    kept.write_text("nonsense\n")
    bad = shell(settings, "audit", "verify", "--checkpoint", kept)
    assert bad.stderr.splitlines()[-1].endswith("line 1 is no checkpoint that a known key signed")


async def test_export_writes_a_file_into_the_organization_s_folder_and_tells_its_digest(
    rt: Runtime, call: Made, settings: Settings, tmp_path: Path
) -> None:
    tenant = await sealed(rt, call)
    done = shell(
        settings,
        "audit",
        "export",
        "--organization",
        "acme",
        "--json",
        more={"data_dir": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    path = Path(told["file"])
    assert path.parent == tmp_path / "organizations" / str(tenant) / "exports"
    content = path.read_bytes()  # noqa: ASYNC240
    assert (len(content), hashlib.sha256(content).hexdigest()) == (told["bytes"], told["sha256"])
    lines = gzip.decompress(content).splitlines()
    assert len(lines) == told["events"] == 5
    assert "exporting" in done.stderr
    later = shell(
        settings,
        "audit",
        "export",
        "--platform",
        "--from",
        "2099-01-01",
        more={"data_dir": str(tmp_path)},
    )
    assert later.stdout.startswith("0 events in ")


async def test_what_cannot_be_done_is_one_line(rt: Runtime, settings: Settings) -> None:
    assert refusal(shell(settings, "audit", "export"), 2) == "give an organization, or --platform"
    unknown = shell(settings, "audit", "verify", "--organization", "nobody")
    assert refusal(unknown) == "organization: no such organization"


async def test_prune_says_how_many_months_went(rt: Runtime, settings: Settings) -> None:
    told = json.loads(shell(settings, "prune", "--json").stdout)
    assert told["dropped"]["months of events"] == 0


async def test_an_export_of_a_type_that_does_not_exist_names_those_that_do(
    settings: Settings,
) -> None:
    done = shell(settings, "audit", "export", "--platform", "--type", "nosuch")
    assert done.returncode == 2
    assert "'sign_in.failed'" in done.stderr
