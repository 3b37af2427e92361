"""Checks of API keys on one worker, beside two things in the same run.

Beside the bare framework answering those bytes, and beside the service itself when it remembers no
key and reads each from PostgreSQL every time.
"""

import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack

import msgspec

from bench.children import child
from bench.deployment import Deployment, deployed
from bench.machine import describe_machine
from bench.paths import (
    LOADED,
    REACHED,
    Bench,
    HotPath,
    Plan,
    Result,
    reference_beside,
    table,
)
from bench.processes import family
from bench.wire import Wire, request
from service.embedded.checkout import ROOT
from service.embedded.process import Running, started
from service.embedded.servers import free_port

REMEMBERED = "api-keys/verify"
CONSTANT = "bare bytes"
QUERIED = "a query each time"

_FULL = Plan(3, 5.0, (1,), (1, 32, 256), 200)
_QUICK = Plan(3, 1.5, (1,), (32,), 200)


class KeyBench(Bench):
    """The three of them, taking turns."""

    uncached: Running
    asked: list[bytes]

    async def paths(self) -> list[HotPath]:
        """Return what to measure."""
        return [
            self._of(CONSTANT, self._reference.url, [request("GET", "/bytes")]),
            self._of(REMEMBERED, self.made.url, self.asked),
            msgspec.structs.replace(
                self._of(QUERIED, self.uncached.url, self.asked), charged=self._charged_uncached
            ),
        ]

    def _charged_uncached(self) -> dict[str, list[int]]:
        return {**self._charged(), "service": family(self.uncached.pid)}


async def questions(made: Deployment, count: int) -> list[bytes]:
    """Make keys, and ask about each as a service does."""
    checker = await made.client("api-keys:verify")
    administrator = await made.administrator()
    keys = [(await made.api_key(administrator)).secret for _ in range(count)]
    return [
        request("POST", "/api-keys/verify", bearer=checker.access_token, json={"key": key})
        for key in keys
    ]


async def measure(plan: Plan, say: Callable[[str], None] = print) -> Result:
    """Measure; an answer that calls a good key bad is a problem."""
    say("Starting PostgreSQL, Valkey, the service, the service without memory, the framework ...")
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(deployed(workers=1))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tesserra-bench-"))
        environment = {
            **made.running.environment,
            "AUTH_BIND": f"127.0.0.1:{free_port()}",
            "PROMETHEUS_MULTIPROC_DIR": folder,
        }
        log = ROOT / ".data" / "bench" / "uncached.log"
        uncached = await stack.enter_async_context(
            started(environment, log, module=("bench.uncached",))
        )
        asked = await questions(made, plan.tokens)
        bodies = {
            where: [await _ask(where, one) for one in asked] for where in (made.url, uncached.url)
        }
        bench = KeyBench(
            plan,
            made,
            await stack.enter_async_context(child("bench.loader", LOADED)),
            await stack.enter_async_context(child("bench.floor", REACHED)),
            await stack.enter_async_context(reference_beside(1, bodies[made.url][0])),
        )
        bench.uncached, bench.asked = uncached, asked
        bench.problems += [
            f"{where}: a good key is {body.decode()}"
            for where, told in bodies.items()
            for body in told
            if msgspec.json.decode(body).get("valid") is not True
        ]
        measured = await bench.run(say, ())
        return Result(describe_machine(), measured, bench.problems)


def ratios(result: Result) -> list[tuple[int, float, float]]:
    """Return, by connections, the rate as a share of the constant's and of the queried one's."""
    rates = {(one.path, one.connections): one.rate for one in result.measured}
    return [
        (
            one.connections,
            one.rate / (rates[CONSTANT, one.connections] or 1),
            one.rate / (rates[QUERIED, one.connections] or 1),
        )
        for one in result.measured
        if one.path == REMEMBERED
    ]


async def keys(*, quick: bool) -> int:
    """Measure, print, write; return the exit status: 1 when any answer was not the expected one."""
    result = await measure(_QUICK if quick else _FULL)
    print(table(result))
    for connections, constant, queried in ratios(result):
        print(
            f"{connections} connections: {constant:.2f} of the bare framework's constant,"
            f" {queried:.2f} times a query each time"
        )
    data = ROOT / ".data" / "bench"
    (data / "keys.json").write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1))
    return 1 if result.problems else 0


async def _ask(url: str, question: bytes) -> bytes:
    wire = await Wire.open(url)
    try:
        return (await wire.ask(question)).body
    finally:
        await wire.close()
