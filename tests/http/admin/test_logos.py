"""/admin/organizations/{id}/logo: a bounded picture, within the walls."""

import struct
import zlib
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from service.runtime import Runtime
from tests import given
from tests.http.admin.test_people import UNKNOWN, signed_in

Browser = Callable[..., httpx2.AsyncClient]


def png(wide: int = 2, high: int = 2, more: int = 0) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", wide, high, 8, 0, 0, 0, 0)
    body = zlib.compress(b"\0\0\0" * 2)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body + bytes(more))


def webp(wide: int = 3, high: int = 4) -> bytes:
    bits = (wide - 1) | (high - 1) << 14
    body = b"WEBPVP8L" + struct.pack("<I", 6) + b"\x2f" + struct.pack("<I", bits) + b"\0"
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.fixture
async def owner(rt: Runtime, browser: Browser) -> httpx2.AsyncClient:
    client = browser()
    told = await signed_in(rt, client, email="owner@acme.example", role="owner")
    client.path = f"/admin/organizations/{told['organization']['id']}/logo"  # type: ignore[attr-defined]
    return client


async def put(
    client: httpx2.AsyncClient, content: bytes, kind: str = "image/png", path: str = ""
) -> httpx2.Response:
    where = path or client.path  # type: ignore[attr-defined]
    return await client.put(where, content=content, headers={"content-type": kind})


@pytest.mark.parametrize(("content", "kind"), [(png(), "image/png"), (webp(), "image/webp")])
async def test_a_logo_is_kept_and_returned_as_what_it_is(
    rt: Runtime, owner: httpx2.AsyncClient, content: bytes, kind: str
) -> None:
    path: str = owner.path  # type: ignore[attr-defined]
    assert (await owner.get(path)).status_code == 404
    assert (await put(owner, content, kind)).status_code == 204
    found = await owner.get(path)
    assert (found.status_code, found.content) == (200, content)
    assert found.headers["content-type"] == kind
    assert found.headers["x-content-type-options"] == "nosniff"
    assert (await owner.delete(path)).status_code == 204
    assert (await owner.delete(path)).status_code == 404
    assert [event["detail"] for event in await given.events(rt, "organization.logo_changed")] == [
        {},
        {"removed": True},
    ]


async def test_a_logo_of_the_other_type_takes_the_place_of_the_first(
    owner: httpx2.AsyncClient,
) -> None:
    await put(owner, png())
    await put(owner, webp(), "image/webp")
    assert (await owner.get(owner.path)).content == webp()  # type: ignore[attr-defined]


BAD: dict[str, tuple[bytes, str, int]] = {
    "a script": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", 415),
    "a page said to be a picture": (b"<html>", "image/png", 415),
    "png said to be webp": (png(), "image/webp", 415),
    "webp said to be png": (webp(), "image/png", 415),
    "no type": (png(), "application/octet-stream", 415),
    "nothing": (b"", "image/png", 415),
    "the first bytes alone": (png()[:16], "image/png", 413),
    "webp of no known kind": (b"RIFF\0\0\0\0WEBPXXXX" + bytes(30), "image/webp", 413),
    "too wide": (png(wide=2049), "image/png", 413),
    "no height": (png(high=0), "image/png", 413),
    "a bomb": (webp(16384, 16384), "image/webp", 413),
    "too large": (png(more=256 * 1024), "image/png", 413),
}


@pytest.mark.parametrize("what", BAD)
async def test_what_is_no_bounded_picture_is_refused_and_changes_nothing(
    rt: Runtime, owner: httpx2.AsyncClient, what: str
) -> None:
    await put(owner, png())
    content, kind, status = BAD[what]
    assert (await put(owner, content, kind)).status_code == status
    assert (await owner.get(owner.path)).content == png()  # type: ignore[attr-defined]
    assert len(await given.events(rt, "organization.logo_changed")) == 1


async def test_no_logo_is_put_without_its_event(rt: Runtime, owner: httpx2.AsyncClient) -> None:
    await put(owner, png())
    async with given.no_commit_of(rt, "organization.logo_changed"):
        assert (await put(owner, webp(), "image/webp")).status_code == 500
        assert (await owner.delete(owner.path)).status_code == 500  # type: ignore[attr-defined]
    assert (await owner.get(owner.path)).content == png()  # type: ignore[attr-defined]
    assert len(await given.events(rt, "organization.logo_changed")) == 1
    folder = next((rt.settings.data_dir / "organizations").iterdir()) / "logo"
    assert [path.name for path in folder.iterdir()] == ["logo.png"]


async def test_logos_of_other_organizations_are_not_there(
    rt: Runtime, owner: httpx2.AsyncClient
) -> None:
    foreign = await given.an_organization(rt, "foreign")
    for tenant in (foreign, UNKNOWN, "x"):
        path = f"/admin/organizations/{tenant}/logo"
        answers: list[Any] = [
            await put(owner, png(), path=path),
            await owner.get(path),
            await owner.delete(path),
        ]
        assert {answer.status_code for answer in answers} == {404}


async def test_an_auditor_sees_the_logo_and_keeps_off(
    owner: httpx2.AsyncClient, rt: Runtime, browser: Browser
) -> None:
    await put(owner, png())
    client = browser()
    await signed_in(rt, client, email="au@acme.example", role="auditor")
    path: str = owner.path  # type: ignore[attr-defined]
    assert (await client.get(path)).content == png()
    assert (await put(client, png(), path=path)).status_code == 403
    assert (await client.delete(path)).status_code == 403
