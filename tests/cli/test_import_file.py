"""`user import`: a thousand real lines; the bad ones are told by number, nothing else is lost."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import argon2
import bcrypt

from service.flows.sessions.sign_in import Credentials, sign_in
from service.kernel.call import Call
from service.kernel.refusal import Refused
from service.runtime import Runtime
from service.settings import Settings
from tests import given
from tests.cli.shell import run

LINES = 1000
PATIENCE = 120
"""Seconds; a thousand lines take some five on idle cores."""

SCHEMES = ("2a", "2b", "2y", "argon2id")
ARGON2 = argon2.PasswordHasher(time_cost=1, memory_cost=32, parallelism=1)


def password_of(number: int) -> str:
    """Return a password of one of the shapes that break importers."""
    stem = f"{number:04} and a long tail of letters "
    shapes = (
        f"{number:04} short one",
        stem.ljust(72, "x"),
        stem.ljust(73, "y"),
        stem.ljust(80, "z"),
        stem.ljust(71, "m") + "é across the byte that counts",
        stem.ljust(70, "m") + "\N{OWL}\N{OWL}",
        f"{number:04} a \0 inside, and more",
        f"{number:04} \N{GRINNING FACE}" * 8,
    )
    return shapes[number // len(SCHEMES) % len(shapes)]


def hash_of(number: int) -> str:
    """Hash as other systems do: bcrypt sees 72 bytes."""
    password, scheme = password_of(number).encode(), SCHEMES[number % len(SCHEMES)]
    if scheme == "argon2id":
        return ARGON2.hash(password)
    made = bcrypt.hashpw(password[:72], bcrypt.gensalt(4)).decode()
    return made.replace("$2b$", f"${scheme}$")


GOOD_HASH = hash_of(0)


def line(email: str, **more: object) -> bytes:
    told = {"email": email, "password_hash": GOOD_HASH, "organization": "acme", **more}
    return json.dumps(told, ensure_ascii=False).encode()


BAD: tuple[bytes, ...] = (
    b"not json at all",
    b'{"email": "cut@acme.example", "password_ha',
    b'{"email": "\xff\xfe@acme.example"}',
    b'["email", "array@acme.example"]',
    b"[" * 9000,
    b'{"email": "no-hash@acme.example"}',
    line("unknown-key@acme.example", admin=True),
    b'{"email": "a@acme.example", ' + line("twice@acme.example")[1:],
    line("no address"),
    line("user7@acme.example"),
    line("USER8@ACME.example"),
    line("md5@acme.example", password_hash="5f4dcc3b5aa765d61d8327deb882cf99"),
    line("cost@acme.example", password_hash=GOOD_HASH.replace("$04$", "$31$")),
    line("2x@acme.example", password_hash=GOOD_HASH.replace("$2a$", "$2x$")),
    line("cut-hash@acme.example", password_hash=GOOD_HASH[:-1]),
    line("memory@acme.example", password_hash=ARGON2.hash("x").replace("m=32", "m=4194304")),
    line("nowhere@acme.example", organization="nowhere"),
    line("nul@acme.example", organization="ac\0me"),
    line("role@acme.example", role="emperor"),
    line("name@acme.example", name="a\x1b[31mred" + "a" * 20_000),
)


async def test_a_thousand_lines_of_another_system(
    rt: Runtime, settings: Settings, call: Callable[..., Call], tmp_path: Path
) -> None:
    await given.an_organization(rt)
    lines = [line(f"user{n}@acme.example", password_hash=hash_of(n)) for n in range(LINES)]
    bad_at = {40 * k + 37: bad for k, bad in enumerate(BAD)}
    for at, bad in bad_at.items():
        lines[at] = bad
    file = tmp_path / "people.jsonl"
    file.write_bytes(b"\n".join(lines))

    began = time.monotonic()
    done = run(settings, "user", "import", file, "--json")
    assert time.monotonic() - began < PATIENCE
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert [error["line"] for error in told["errors"]] == [at + 1 for at in bad_at]
    assert (told["imported"], told["refused"]) == (LINES - len(BAD), len(BAD)) == (980, 20)
    assert "500 lines read" in done.stderr
    assert "Traceback" not in done.stderr
    for said in (done.stdout, done.stderr):
        assert GOOD_HASH[10:] not in said
        assert "\x1b" not in said
        assert "emperor" not in said

    numbers = [n for n in range(LINES) if n not in bad_at]
    for start in range(0, len(numbers), 40):
        await asyncio.gather(
            *(
                sign_in(rt, call(), Credentials(f"user{n}@acme.example", password_of(n)))
                for n in numbers[start : start + 40]
            )
        )
    async with rt.pg.reading() as tx:
        ours = "$argon2id$v=19$m=64,t=1,p=1"
        left = await tx.fetchval(
            "SELECT count(*) FROM auth_users WHERE password_scheme <> $1", ours
        )
        assert left == 0
        assert await tx.fetchval("SELECT count(*) FROM auth_users") == 980
    assert (await given.kinds(rt)).count("user.created") == 980

    long = [n for n in numbers if len(password_of(n).encode()) > 72][:60]
    opened = await asyncio.gather(*(_opens_with_72_bytes(rt, call(), n) for n in long))
    assert len(long) == 60
    assert not any(opened)


async def _opens_with_72_bytes(rt: Runtime, call: Call, number: int) -> bool:
    first = password_of(number).encode()[:72].decode(errors="ignore")
    try:
        await sign_in(rt, call, Credentials(f"user{number}@acme.example", first))
    except Refused:
        return False
    return True


async def test_the_same_file_twice_adds_nobody_twice(
    rt: Runtime, settings: Settings, tmp_path: Path
) -> None:
    await given.an_organization(rt)
    file = tmp_path / "people.jsonl"
    file.write_bytes(line("ada@acme.example", role="owner", name="Ada") + b"\r\n\r\n")
    first = run(settings, "user", "import", file)
    assert (first.returncode, first.stdout) == (0, "1 imported, 0 refused\n")
    again = run(settings, "user", "import", file)
    assert again.returncode == 1
    assert again.stdout == "0 imported, 1 refused\n"
    assert again.stderr == "line 1: email: this e-mail is taken\n"
    async with rt.pg.reading() as tx:
        assert await tx.fetchval("SELECT count(*) FROM auth_users") == 1
