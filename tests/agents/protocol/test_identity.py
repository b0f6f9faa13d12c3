import os
import pickle
import stat

import pytest

from agents.protocol.identity import Identity, KeyFileError, fingerprint, is_signed, key_id_of

# RFC 8032, section 7.1, test 2
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)
ORDER = 2**252 + 27742317777372353535851937790883648493  # of the group of ed25519


def test_keys_and_signatures_are_those_of_rfc_8032():
    identity = Identity(SEED)
    assert identity.public_key == PUBLIC
    assert identity.sign(b"\x72") == SIGNATURE
    assert is_signed(PUBLIC, b"\x72", SIGNATURE)
    assert not is_signed(PUBLIC, b"\x73", SIGNATURE)


def test_a_second_encoding_of_a_signature_is_refused():
    scalar = int.from_bytes(SIGNATURE[32:], "little") + ORDER
    assert not is_signed(PUBLIC, b"\x72", SIGNATURE[:32] + scalar.to_bytes(32, "little"))


@pytest.mark.parametrize("key", [bytes(32), b"\1" + bytes(31), bytes(31), b"", b"\xff" * 32])
def test_a_key_of_small_order_or_another_size_signs_nothing(key):
    for signature in (bytes(64), b"\1" + bytes(63), SIGNATURE, b""):
        assert not is_signed(key, b"\x72", signature)


def test_a_key_file_is_private_and_read_again(tmp_path):
    path = tmp_path / "agent-0" / "identity.key"
    first = Identity.load_or_create(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Identity.load_or_create(path).public_key == first.public_key
    assert [entry.name for entry in path.parent.iterdir()] == ["identity.key"]
    assert Identity.generate().public_key != first.public_key


def test_a_key_file_is_private_from_its_creation_on_whatever_the_umask_and_the_file_before(
    tmp_path, monkeypatch
):
    modes = []

    def fsync(number, flush=os.fsync):
        modes.append(stat.S_IMODE(os.fstat(number).st_mode))
        flush(number)

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "identity.key"
    path.write_bytes(b"open to all")
    path.chmod(0o666)
    before = os.umask(0)
    try:
        identity = Identity.generate()
        identity.save(path)
    finally:
        os.umask(before)

    assert modes == [0o600]
    assert Identity.load(path).public_key == identity.public_key
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_file_that_others_may_read_is_refused(tmp_path, mode):
    path = tmp_path / "identity.key"
    Identity.generate().save(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        Identity.load_or_create(path)


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"00" * 31, b"zz" * 32, b"00" * 100])
def test_a_damaged_key_file_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "identity.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="damaged"):
        Identity.load_or_create(path)
    assert path.read_bytes() == content


def test_an_identity_is_never_pickled_or_printed():
    identity = Identity(SEED)
    with pytest.raises(TypeError, match="private key"):
        pickle.dumps(identity)
    assert SEED.hex() not in repr(identity)
    assert fingerprint(PUBLIC) in repr(identity)


def test_a_key_id_is_part_of_the_fingerprint():
    assert fingerprint(PUBLIC).replace(":", "").startswith(key_id_of(PUBLIC).hex())
