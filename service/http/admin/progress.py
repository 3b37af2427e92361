"""The progress of an export, as a stream."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
from litestar.response import Stream

from service.flows.trail import exports
from service.flows.trail.exports import Begun, Progress
from service.http.context import RequestContext
from service.kernel.log import log
from service.kernel.refusal import Refused

_encode = msgspec.json.Encoder().encode


def written(context: RequestContext, begun: Begun) -> Stream:
    """Answer with lines of JSON `{name, events, fraction}` while the export is written."""

    async def lines() -> AsyncIterator[bytes]:
        yield _encode({"name": begun.name, "events": 0, "fraction": 0.0}) + b"\n"
        try:
            async with aclosing(exports.run(context.rt, begun, resting=True)) as progress:
                async for one in progress:
                    yield _encode(_told(one)) + b"\n"
        except Refused as refused:
            log().warning("export failed", error=str(refused), request_id=context.call.request_id)
            yield _encode({"name": begun.name, "error": refused.reason.value}) + b"\n"

    return Stream(lines(), status_code=201, headers={"X-Accel-Buffering": "no"})


def _told(one: Progress) -> dict[str, object]:
    told: dict[str, object] = {"name": one.name, "events": one.events, "fraction": one.fraction}
    if one.sha256 is not None:
        told |= {"bytes": one.size, "sha256": one.sha256.hex()}
    return told
