"""What `serve` says when it starts."""

import asyncio
import os
import signal

import asyncpg
import httpx2

from tests.processes import Running, service
from tests.system.visitors import log_lines


async def test_an_allowed_origin_of_another_site_is_warned_of() -> None:
    origins = {"AUTH_ALLOWED_ORIGINS": "http://localhost:3000,http://127.0.0.1:3000"}
    async with service(env=origins) as running:
        told = [line for line in log_lines(running) if line["level"] == "warning"]
        (line,) = (one for one in told if "another site" in str(one["event"]))
        assert "AUTH_ALLOWED_ORIGINS: http://127.0.0.1:3000 is not same-site" in str(line["error"])


async def test_a_worker_that_cannot_start_again_after_a_newer_release_migrated_is_told_of() -> None:
    async with service(workers=2) as running:
        owner = await asyncpg.connect(running.database_url)
        await owner.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES (9999, 'newer', '')"
        )
        assert await ready(running) == (200, ""), "what is running goes on"
        os.kill(running.workers()[0], signal.SIGKILL)
        await until(running, (503, "not ready: workers"))
        (line,) = (one for one in log_lines(running) if one["event"] == "worker waits")
        assert "9999, newer than this release knows" in str(line["error"])
        await owner.execute("DELETE FROM schema_migrations WHERE version = 9999")
        await owner.close()
        await until(running, (200, ""))


async def ready(running: Running) -> tuple[int, str]:
    """Return the status of /readyz and what it says is not ready; of no worker that waits."""
    async with httpx2.AsyncClient(base_url=running.url) as client:
        answer = await client.get("/readyz")
    return answer.status_code, answer.json().get("detail", "")


async def until(running: Running, expected: tuple[int, str]) -> None:
    """Wait until /readyz answers so; connections to a worker that has just died may fail."""
    seen: object = None
    for _ in range(300):
        try:
            seen = await ready(running)
        except httpx2.TransportError as exc:
            seen = exc
        if seen == expected:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(seen)
