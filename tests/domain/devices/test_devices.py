"""Known devices: a cookie only we write, worth something to one account, for a while."""

import os
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from service.domain import devices
from service.kernel.ids import DeviceId
from service.runtime import Runtime
from tests import given

KEY = os.urandom(32)
DEVICE = DeviceId(uuid4())
TEXT = devices.write(KEY, DEVICE)
AT = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def test_what_was_written_is_read() -> None:
    assert devices.read(KEY, TEXT) == DEVICE


NO_DEVICES = [
    None,
    "",
    TEXT[:-1],
    TEXT + "A",
    TEXT + "=",
    TEXT + "\n",
    TEXT.swapcase(),
    "A" + TEXT[1:] if TEXT[0] != "A" else "B" + TEXT[1:],
    "ü" * 64,
    "+" * 64,
    "A" * 64,
    "A" * 100_000,
    devices.write(os.urandom(32), DEVICE),
    str(DEVICE),
]


@pytest.mark.parametrize("text", NO_DEVICES, ids=range(len(NO_DEVICES)))
def test_anything_else_is_no_device(text: str | None) -> None:
    assert devices.read(KEY, text) is None


async def test_a_device_is_known_to_its_own_account_until_it_expires(rt: Runtime) -> None:
    owner = await given.a_person(rt)
    other = await given.a_person(rt, "eve@acme.example")
    async with rt.pg.decision() as tx:
        await devices.insert(tx, DEVICE, owner.user_id, AT, AT + DAY, 10)
        assert await devices.find(tx, DEVICE, owner.user_id, AT) == DEVICE
        assert await devices.find(tx, DEVICE, other.user_id, AT) is None
        assert await devices.find(tx, DEVICE, owner.user_id, AT + DAY) is None
        await devices.touch(tx, DEVICE, AT + DAY, AT + 2 * DAY)
        assert await devices.find(tx, DEVICE, owner.user_id, AT + DAY) == DEVICE


async def test_an_account_keeps_a_bounded_number_and_forgets_the_longest_unused(
    rt: Runtime,
) -> None:
    owner = await given.a_person(rt)
    known = [DeviceId(uuid4()) for _ in range(4)]
    async with rt.pg.decision() as tx:
        for n, device in enumerate(known[:3]):
            await devices.insert(tx, device, owner.user_id, AT + n * DAY, AT + 99 * DAY, 3)
        await devices.touch(tx, known[0], AT + 5 * DAY, AT + 99 * DAY)
        await devices.insert(tx, known[3], owner.user_id, AT + 6 * DAY, AT + 99 * DAY, 3)
        left = [d for d in known if await devices.find(tx, d, owner.user_id, AT)]
    assert left == [known[0], known[2], known[3]]


async def test_a_new_password_leaves_only_the_device_it_was_set_on(rt: Runtime) -> None:
    owner = await given.a_person(rt)
    kept, gone = DeviceId(uuid4()), DeviceId(uuid4())
    async with rt.pg.decision() as tx:
        for device in (kept, gone):
            await devices.insert(tx, device, owner.user_id, AT, AT + DAY, 10)
        await devices.forget_others(tx, owner.user_id, kept)
        assert await devices.find(tx, kept, owner.user_id, AT)
        assert not await devices.find(tx, gone, owner.user_id, AT)
        await devices.forget_others(tx, owner.user_id, None)
        assert not await devices.find(tx, kept, owner.user_id, AT)
