"""`Allow` lists every method of a path, to whoever asks for it and to whoever errs."""

import json
import re

import httpx2

from service.embedded.checkout import ROOT

DOCUMENT = json.loads((ROOT / "openapi" / "tesserra-auth.json").read_text())


def allow(answer: httpx2.Response) -> set[str]:
    return set(answer.headers["allow"].split(", "))


async def test_options_and_405_name_the_methods_that_the_document_has(
    client: httpx2.AsyncClient,
) -> None:
    for path, operations in DOCUMENT["paths"].items():
        where = re.sub(r"\{\w+\}", "0198c0de-0000-7000-8000-000000000000", path)
        there = {method.upper() for method in operations} | {"OPTIONS"}
        there |= {"HEAD"} if "get" in operations else set()
        asked = await client.options(where)
        wrong = await client.request("TRACE", where)
        assert (asked.status_code, asked.content, wrong.status_code) == (204, b"", 405)
        assert allow(asked) == allow(wrong) == there, path
