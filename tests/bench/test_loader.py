"""The loader counts what it is answered, and tells of every answer that is not the expected one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from bench.children import child
from bench.loader import Chains, Cycle, Loaded, Renewals, refresh_token
from bench.paths import LOADED, Bench, HotPath, Plan
from bench.wire import request

PLAN = Plan(1, 0.2, (1,), (4,), 10)
HOLD = b"hold"
"""An answer that never comes: the connection ends instead."""


@asynccontextmanager
async def server(answer: Callable[[int, bytes], bytes]) -> AsyncIterator[str]:
    """Answer each request by its number and its head, over kept connections."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"Content-Length: 2" in head:
                    await reader.readexactly(2)
                count += 1
                given = answer(count, head)
                if given == HOLD:
                    break
                writer.write(given)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()


def answered(status: int, headers: str = "", body: str = "{}") -> bytes:
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n{headers}\r\n{body}".encode()


async def loaded(url: str, **given: object) -> Loaded:
    order = Cycle(url, 4, 0.2, 200, [request("GET", "/a"), request("GET", "/b")])
    async with child("bench.loader", LOADED) as loader:
        loader.order(msgspec.structs.replace(order, **given))
        return await loader.told()


async def test_good_answers_are_counted_and_nothing_is_strange() -> None:
    seen: list[bytes] = []

    def answer(_number: int, head: bytes) -> bytes:
        seen.append(head.split()[1])
        return answered(200)

    async with server(answer) as url:
        told = await loaded(url)
    assert told.strange == {}
    assert 0 < told.answers <= len(seen) <= told.answers + 4
    assert abs(seen.count(b"/a") - seen.count(b"/b")) <= 4
    assert 0 < told.p50 <= told.p99
    assert told.seconds > 0.19  # its timer counts milliseconds


async def test_every_unexpected_status_and_lost_connection_is_told() -> None:
    answers = {3: answered(500), 5: answered(429), 6: answered(429), 9: HOLD}
    async with server(lambda number, _: answers.get(number, answered(200))) as url:
        told = await loaded(url)
    assert told.strange == {"500": 1, "429": 2, "connection lost: NoneType": 1}


async def test_to_warm_up_is_to_go_on_until_enough_was_answered() -> None:
    async with server(lambda *_: answered(200)) as url:
        assert (await loaded(url, seconds=0.0, least=50)).answers >= 50


async def test_a_path_that_answers_errors_fails_the_run() -> None:
    async with (
        server(lambda number, _: answered(503 if number == 7 else 200)) as url,
        child("bench.loader", LOADED) as loader,
    ):
        bench = Bench(PLAN, None, loader, None, None)  # type: ignore[arg-type]
        path = HotPath("a path", lambda c, s: Cycle(url, c, s, 200, [request("GET", "/")]), dict)
        await bench.once(path, 4, 0.2)
        assert bench.problems == ["a path: 1 answers were 503"]


async def test_a_chain_presents_the_token_of_the_last_answer_and_each_token_once() -> None:
    presented: list[str] = []

    def rotate(number: int, head: bytes) -> bytes:
        token = head.partition(b"__Host-refresh=")[2].partition(b"\r\n")[0].decode()
        presented.append(token)
        name = token.partition(".")[0]
        cookie = f"set-cookie: __Host-refresh={name}.{number}; Path=/; Secure\r\n"
        return answered(200, cookie)

    tokens = [f"family{n}.0" for n in range(6)]
    async with server(rotate) as url, child("bench.loader", LOADED) as loader:
        for _ in range(2):  # the second order goes on where the first has ended
            loader.order(Chains(url, 4, 0.1, "all", tokens))
            assert (await loader.told()).strange == {}
    assert len(presented) == len(set(presented)) > 12


async def test_what_is_asked_once_is_asked_once_and_then_it_is_over() -> None:
    seen: list[bytes] = []

    def answer(_number: int, head: bytes) -> bytes:
        seen.append(head.split()[1])
        return answered(200)

    paths = [f"/{number}" for number in range(50)]
    async with server(answer) as url:
        asked = [request("GET", path) for path in paths]
        told = await loaded(url, requests=asked, seconds=30.0, once=True)
    assert sorted(seen) == sorted(path.encode() for path in paths)
    assert (told.answers, told.strange) == (50, {})
    assert told.seconds < 20


async def test_a_hammered_family_gets_its_next_token_when_all_have_their_answer() -> None:
    presented: list[int] = []

    def rotate(_number: int, head: bytes) -> bytes:
        generation = int(head.partition(b"__Host-refresh=x.")[2].partition(b"\r\n")[0])
        presented.append(generation)
        cookie = f"set-cookie: __Host-refresh=x.{generation + 1}; Path=/; Secure\r\n"
        return answered(200, cookie)

    async with server(rotate) as url, child("bench.loader", LOADED) as loader:
        loader.order(Chains(url, 4, 0.2, "one", ["x.1"], together=True))
        assert (await loader.told()).strange == {}
    assert presented == sorted(presented)  # nobody presents a token that is older than another's
    assert max(presented) > 2
    assert all(presented.count(n) == 4 for n in set(presented) if n < max(presented) - 1)


async def test_a_chain_of_forms_presents_the_token_of_the_last_answer() -> None:
    def rotate(number: int, head: bytes) -> bytes:
        assert b"Authorization: Basic " in head
        return answered(200, body=f'{{"refresh_token": "t{number:05}"}}')

    bodies: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
                bodies.append(await reader.readexactly(length))
                writer.write(rotate(len(bodies), head))
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with child("bench.loader", LOADED) as loader:
        loader.order(Renewals(url, 2, 0.1, "a", "/token", ("id", "secret"), ["t1", "t2", "t3"]))
        assert (await loader.told()).strange == {}
    listening.close()
    assert len(bodies) == len(set(bodies)) > 6


async def test_a_path_beside_which_errors_are_answered_fails_the_run() -> None:
    async with (
        server(lambda *_: answered(200)) as url,
        server(lambda number, _: answered(500 if number == 3 else 200)) as other,
        child("bench.loader", LOADED) as loader,
        child("bench.loader", LOADED) as beside,
    ):
        bench = Bench(PLAN, None, loader, None, None, beside)  # type: ignore[arg-type]
        asked = [request("GET", "/")]
        path = HotPath(
            "a path",
            lambda c, s: Cycle(url, c, s, 200, asked),
            dict,
            beside=lambda c, s: Cycle(other, c, s, 200, asked),
        )
        await bench.once(path, 4, 0.2)
        assert bench.problems == ["beside a path: 1 answers were 500"]


def test_the_refresh_token_of_an_answer_is_found() -> None:
    head = b"HTTP/1.1 200 OK\r\nx: y\r\nset-cookie: __Host-refresh=abc.1.def; Path=/\r\n\r\n"
    assert refresh_token(head) == "abc.1.def"
    assert refresh_token(b"HTTP/1.1 200 OK\r\n\r\n") == ""
