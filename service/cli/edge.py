"""How commands begin and end: open the runtime, print what changed, fail with one clear line."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, NoReturn, TypeVar
from uuid import uuid4

import click
import msgspec

from service import settings as deployment
from service.kernel import log
from service.kernel.call import Call, Operator
from service.kernel.migrate import MigrationError
from service.kernel.refusal import Reason, Refused
from service.kernel.seal import SealBrokenError
from service.runtime import Runtime, StartError, open_runtime
from service.settings import Settings, SettingsError

T = TypeVar("T")


def settings() -> Settings:
    """Read the settings, or end with one line that says what is wrong."""
    try:
        loaded = deployment.load()
    except SettingsError as exc:
        fail(str(exc))
    log.configure("error")
    return loaded


def run(act: Callable[[Runtime, Call], Awaitable[T]]) -> T:
    """Open the runtime, run an act as the operator, and return its result."""
    given = settings()

    async def inside() -> T:
        async with open_runtime(given, follow=False) as rt:
            return await act(rt, operator_call(rt.clock.now()))

    return finish(inside())


def finish(work: Awaitable[T]) -> T:
    """Wait for the work.  Each expected failure prints one line and exits with status 1.

    An invalid request exits with status 2, as a wrong option does.
    """

    async def inside() -> T:
        return await work

    try:
        return asyncio.run(inside())
    except (StartError, MigrationError, SealBrokenError, SettingsError) as exc:
        fail(str(exc))
    except Refused as refused:
        where = f"{', '.join(refused.fields)}: " if refused.fields and not refused.faults else ""
        # An operator may know which server is gone; HTTP clients are only told to try again.
        told = "" if refused.reason is Reason.UNAVAILABLE else refused.public
        fail(where + (told or str(refused)), 2 if refused.reason is Reason.INVALID_REQUEST else 1)


def operator_call(at: datetime) -> Call:
    """Make the Call of a command: its actor is the operator."""
    return Call(request_id=f"cli-{uuid4().hex}", at=at, actor=Operator())


def tell(text: str, told: dict[str, Any], *, as_json: bool) -> None:
    """Print what changed: `text` for a person, or `told` as one JSON object."""
    click.echo(msgspec.json.encode(told).decode() if as_json else text)


def fail(line: str, status: int = 1) -> NoReturn:
    """End with one line on standard error."""
    click.echo(f"tesserra-auth: {line}", err=True)
    sys.exit(status)
