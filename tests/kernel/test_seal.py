"""A ciphertext opens under its key, as what it was sealed for, whole - or not at all."""

import base64
import os

import pytest
from cryptography.fernet import Fernet

from service.kernel.seal import Seal, SealBrokenError, derive, sealed_by

OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))
SECRET = b"\x00\xffprivate key"


def test_what_is_sealed_opens() -> None:
    assert Seal((NEW,)).open("root", "root", Seal((NEW,)).seal("root", "root", SECRET)) == SECRET


def test_one_thing_sealed_twice_reads_differently_and_shows_nothing() -> None:
    one, two = (Seal((NEW,)).seal("root", "root", SECRET) for _ in range(2))
    assert one != two
    assert SECRET not in base64.urlsafe_b64decode(one.partition(b".")[2])


def test_another_master_key_does_not_open_it() -> None:
    sealed = Seal((NEW,)).seal("root", "root", SECRET)
    with pytest.raises(SealBrokenError, match="which is not given"):
        Seal((OTHER,)).open("root", "root", sealed)


def test_after_a_rotation_the_old_key_still_opens_and_the_new_one_seals() -> None:
    before = Seal((OLD,)).seal("root", "root", SECRET)
    rotated = Seal((NEW, OLD))
    assert rotated.open("root", "root", before) == SECRET
    after = rotated.seal("root", "root", SECRET)
    assert Seal((NEW,)).open("root", "root", after) == SECRET
    with pytest.raises(SealBrokenError):
        Seal((OLD,)).open("root", "root", after)


@pytest.mark.parametrize(
    ("purpose", "name"), [("signing-key", "other"), ("root", "kid"), ("root", "other")]
)
def test_a_ciphertext_moved_elsewhere_does_not_open(purpose: str, name: str) -> None:
    sealed = Seal((NEW,)).seal("signing-key", "kid", SECRET)
    with pytest.raises(SealBrokenError):
        Seal((NEW,)).open(purpose, name, sealed)


def test_no_truncation_and_no_flipped_bit_opens_and_each_is_told_from_a_missing_key() -> None:
    seal = Seal((NEW,))
    sealed = seal.seal("root", "root", SECRET)
    mark, _, token = sealed.partition(b".")
    raw = bytearray(base64.urlsafe_b64decode(token))
    for cut in (0, 1, 8, 9, 40, len(sealed) - 4, len(sealed) - 1):
        with pytest.raises(SealBrokenError, match="cut short"):
            seal.open("root", "root", sealed[:cut])
    for place in range(len(raw)):
        raw[place] ^= 1
        with pytest.raises(SealBrokenError, match="altered"):
            seal.open("root", "root", mark + b"." + base64.urlsafe_b64encode(bytes(raw)))
        raw[place] ^= 1
    assert seal.open("root", "root", mark + b"." + base64.urlsafe_b64encode(bytes(raw))) == SECRET


@pytest.mark.parametrize("length", [0, 7, 20, 33])
def test_no_bit_of_it_as_it_is_stored_can_be_flipped(length: int) -> None:
    """Its letters hold a few bits more than it has: those count too."""
    seal = Seal((NEW, OLD))
    sealed = bytearray(seal.seal("root", "root", bytes(length)))
    for place in range(8 * len(sealed)):
        sealed[place // 8] ^= 1 << place % 8
        with pytest.raises(SealBrokenError):
            seal.open("root", "root", bytes(sealed))
        sealed[place // 8] ^= 1 << place % 8
    assert seal.open("root", "root", bytes(sealed)) == bytes(length)


def test_the_name_of_the_master_key_cannot_be_exchanged() -> None:
    sealed = Seal((NEW,)).seal("root", "root", SECRET)
    other = Seal((OTHER,)).key_ids[0].encode()
    with pytest.raises(SealBrokenError, match="altered"):
        Seal((NEW, OTHER)).open("root", "root", other + sealed[8:])
    assert NEW not in repr(Seal((NEW,)).key_ids)


def test_the_newest_key_alone_opens_what_it_sealed_and_nothing_older() -> None:
    both = Seal((NEW, OLD))
    before, after = Seal((OLD,)).seal("a", "b", SECRET), both.seal("a", "b", SECRET)
    assert (sealed_by(after), sealed_by(before)) == both.key_ids
    assert both.newest_alone().open("a", "b", after) == SECRET
    with pytest.raises(SealBrokenError, match="which is not given"):
        both.newest_alone().open("a", "b", before)


@pytest.mark.parametrize(
    "keys", [(), ("",), ("short",), (NEW, "short"), (NEW[:-1],), ("ü" * 44,), (NEW + NEW,)]
)
def test_a_master_key_that_is_none_is_refused_and_not_shown(keys: tuple[str, ...]) -> None:
    with pytest.raises(SealBrokenError) as caught:
        Seal(keys)
    assert not any(key and key in str(caught.value) for key in keys)


def test_repr_shows_no_key() -> None:
    assert NEW not in repr(Seal((NEW,)))


def test_keys_of_two_purposes_have_nothing_in_common() -> None:
    root = os.urandom(32)
    assert derive(root, "a") == derive(root, "a")
    assert len({derive(root, "a"), derive(root, "b"), derive(os.urandom(32), "a"), root}) == 4


def test_derivation_is_the_one_every_stored_secret_was_sealed_under() -> None:
    """HKDF-SHA-256 (RFC 5869) computed by hand: changing it would close every database."""
    import hashlib  # noqa: PLC0415
    import hmac  # noqa: PLC0415

    prk = hmac.digest(bytes(32), b"secret", hashlib.sha256)
    expected = hmac.digest(prk, b"tesserra-auth/purpose\x01", hashlib.sha256)
    assert derive(b"secret", "purpose") == expected
