"""The metrics listener adds up all workers and is not on the service's port."""

import asyncio

import httpx2

from service.embedded.servers import free_port
from tests.processes import service


async def test_the_figures_of_all_workers_on_a_listener_of_their_own() -> None:
    port = free_port()
    listener = {"AUTH_METRICS_BIND": f"127.0.0.1:{port}"}
    async with service(workers=2, env=listener) as running, httpx2.AsyncClient() as client:
        for _ in range(20):
            await client.get(f"{running.url}/.well-known/jwks.json")
        await asyncio.sleep(1)  # workers hand figures over ten times a second
        text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
        hidden = await client.get(f"{running.url}/metrics")
    assert hidden.status_code == 404
    line = next(
        line
        for line in text.splitlines()
        if line.startswith("http_server_request_duration_seconds_count{")
        and 'http_route="/.well-known/jwks.json"' in line
    )
    assert float(line.rsplit(" ", 1)[1]) == 20
    assert "tesserra_auth_revocation_staleness_seconds " in text
