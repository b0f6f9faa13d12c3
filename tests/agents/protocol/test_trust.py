import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.protocol import trust
from agents.protocol.identity import Identity, fingerprint
from agents.protocol.trust import (
    KeyRevocation,
    KeyRotation,
    RotatedIdentity,
    TrustedKey,
    TrustFileError,
    TrustStore,
    UntrustedKeyError,
    follow,
)
from tests.support.keys import identity_of

FIRST, SECOND, THIRD, EVE = (identity_of(name) for name in ("first", "second", "third", "eve"))
change = msgspec.structs.replace
quick = settings(derandomize=True, database=None, max_examples=100)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trust.toml"


def test_the_first_key_of_a_name_is_kept_and_another_one_is_refused_with_a_sentence(path):
    store = TrustStore(path, first_use=True)
    store.accept("agent-1", FIRST.public_key)

    for again in (store, TrustStore(path, first_use=True), TrustStore(path, first_use=False)):
        assert again.accept("agent-1", FIRST.public_key) == TrustedKey(FIRST.public_key)
        with pytest.raises(UntrustedKeyError, match="an impostor, or it has lost its key") as caught:
            again.accept("agent-1", EVE.public_key)
        assert fingerprint(FIRST.public_key) in str(caught.value)
        assert fingerprint(EVE.public_key) in str(caught.value)
        assert str(path) in str(caught.value)


def test_an_allow_list_admits_no_other_agent_and_says_what_to_write(path):
    path.write_text(f'[agent-1]\nkey = "{FIRST.public_key.hex()}"\n')
    store = TrustStore(path, first_use=False)
    with pytest.raises(UntrustedKeyError, match=rf'\[agent-2\] with key = "{SECOND.public_key.hex()}"'):
        store.accept("agent-2", SECOND.public_key)
    assert store.names() == ["agent-1"]
    assert path.read_text().count("key") == 1


def test_what_an_allow_list_says_to_write_admits_an_agent_whose_name_has_a_dot(path):
    path.write_text("")
    store = TrustStore(path, first_use=False)
    with pytest.raises(UntrustedKeyError) as caught:
        store.accept("a.b", FIRST.public_key)
    header, line = re.search(r"add the table (\S+) with (key = \S+) if", str(caught.value)).groups()
    path.write_text(f"{header}\n{line}\n")

    assert TrustStore(path, first_use=False).get("a.b") == TrustedKey(FIRST.public_key)


def test_first_use_adds_so_many_names_and_no_more(path, monkeypatch):
    monkeypatch.setattr(trust, "MAX_NAMES", 3)
    store = TrustStore(path, first_use=True)
    for number in range(3):
        store.accept(f"agent-{number}", FIRST.public_key)
    with pytest.raises(UntrustedKeyError, match="no more are added"):
        store.accept("agent-3", FIRST.public_key)
    assert len(store.names()) == 3


def test_a_rotation_signed_by_the_trusted_key_replaces_it(path):
    store = TrustStore(path, first_use=True)
    store.accept("agent-1", FIRST.public_key)
    chain = [KeyRotation.make("agent-1", FIRST, SECOND), KeyRotation.make("agent-1", SECOND, THIRD)]

    assert store.accept("agent-1", THIRD.public_key, chain) == TrustedKey(THIRD.public_key)
    again = TrustStore(path, first_use=True)
    assert again.accept("agent-1", THIRD.public_key, chain) == TrustedKey(THIRD.public_key)
    with pytest.raises(UntrustedKeyError):
        again.accept("agent-1", FIRST.public_key, chain)


GOOD = KeyRotation.make("agent-1", FIRST, SECOND)
FORGED = {
    "of another agent": KeyRotation.make("agent-2", FIRST, SECOND),
    "by another old key": change(KeyRotation.make("agent-1", EVE, SECOND), old_key=FIRST.public_key),
    "without the new key": change(GOOD, new_signature=KeyRotation.make("agent-1", FIRST, EVE).new_signature),
    "to another key": change(GOOD, new_key=EVE.public_key),
    "signatures exchanged": change(GOOD, old_signature=GOOD.new_signature, new_signature=GOOD.old_signature),
    "from a key that is not trusted": KeyRotation.make("agent-1", THIRD, SECOND),
}


@pytest.mark.parametrize("statement", FORGED.values(), ids=FORGED.keys())
def test_a_rotation_that_the_trusted_key_did_not_sign_for_this_name_changes_nothing(path, statement):
    store = TrustStore(path, first_use=True)
    store.accept("agent-1", FIRST.public_key)
    for key in (SECOND, EVE):
        with pytest.raises(UntrustedKeyError):
            store.accept("agent-1", key.public_key, [statement])
    assert store.get("agent-1") == TrustedKey(FIRST.public_key)


@quick
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8))
def test_rotations_lead_along_keys_that_sign_each_other_in_order(steps):
    keys = [FIRST, SECOND, THIRD, EVE]
    statements = [KeyRotation.make("agent-1", keys[a], keys[b]) for a, b in steps]
    at = 0
    for a, b in steps:
        if at != 3 and a == at:
            at = b
    assert follow("agent-1", FIRST.public_key, EVE.public_key, statements) == keys[at].public_key


def test_a_revoked_key_is_refused_for_good_and_only_its_owner_can_revoke_it(path):
    store = TrustStore(path, first_use=True)
    store.accept("agent-1", FIRST.public_key)
    forged = change(KeyRevocation.make("agent-1", EVE), key=FIRST.public_key)
    for statement in (forged, KeyRevocation.make("agent-1", EVE), KeyRevocation.make("agent-2", FIRST)):
        assert not store.revoke(statement)
    assert store.accept("agent-1", FIRST.public_key)

    assert store.revoke(KeyRevocation.make("agent-1", FIRST))
    for again in (store, TrustStore(path, first_use=True)):
        known, statement = again.get("agent-1"), KeyRevocation.make("agent-1", FIRST)
        assert known == TrustedKey(FIRST.public_key, True, statement.signature)
        assert again.revocations() == [statement]
        for key, rotations in ((FIRST, []), (SECOND, [GOOD]), (EVE, [])):
            with pytest.raises(UntrustedKeyError, match="was revoked"):
                again.accept("agent-1", key.public_key, rotations)


def test_a_trust_file_may_begin_with_a_byte_order_mark(path):
    TrustStore(path, first_use=True).accept("agent-1", FIRST.public_key)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())

    assert TrustStore(path, first_use=False).get("agent-1").public_key == FIRST.public_key


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[agent-1", "is not TOML"), ("[agent-1]\nkey = 'abc'", "64 hexadecimal digits"),
        ("[agent-1]\nkey = 7", "64 hexadecimal digits"), ("agent-1 = 'abc'", r"the table \[agent-1\]"),
        (f"[agent-1]\nkey = '{'0' * 64}'\nrevoked = 1", "should have revoked = true"),
        (f"[agent-1]\nkey = '{'0' * 64}'\nrevoked = '{'0' * 128}'", "should have revoked = true"),
        (f"[agent-1]\nkey = '{'0' * 64}'\nrevoked = 'yes'", "should have revoked = true"),
        (f"[agent-1]\nkey = '{'0' * 64}'\nrevokd = true", r"should hold key and, optionally, revoked"),
        ("['a b']\nkey = 'abc'", "which no agent can be called"), (None, "cannot be read"),
    ],
)  # fmt: skip
def test_a_trust_file_that_cannot_be_used_is_refused_with_a_sentence(path, content, sentence):
    if content is not None:
        path.write_text(content)
    with pytest.raises(TrustFileError, match=sentence):
        TrustStore(path, first_use=False)


def test_a_rotated_key_file_keeps_the_statements_that_lead_to_it(tmp_path):
    own = RotatedIdentity(tmp_path / "identity.key")
    store = TrustStore(tmp_path / "trust.toml", first_use=True)
    store.accept("agent-1", own.identity.public_key)
    for _ in range(3):
        own.rotate("agent-1")
    again = RotatedIdentity(tmp_path / "identity.key")

    assert again.identity.public_key == own.identity.public_key
    assert again.rotations == own.rotations
    assert store.accept("agent-1", again.identity.public_key, again.rotations)


def test_a_rotation_that_was_cut_short_leaves_the_old_key_and_can_be_repeated(tmp_path, monkeypatch):
    own = RotatedIdentity(tmp_path / "identity.key")
    own.rotate("agent-1")
    old = own.identity.public_key
    with monkeypatch.context() as patched:
        patched.setattr(Identity, "save", _fail)
        with pytest.raises(OSError, match="full"):
            own.rotate("agent-1")
    again = RotatedIdentity(tmp_path / "identity.key")
    assert again.identity.public_key == old
    again.rotate("agent-1")

    store = TrustStore(tmp_path / "trust.toml", first_use=True)
    store.accept("agent-1", old)
    newest = RotatedIdentity(tmp_path / "identity.key")
    assert store.accept("agent-1", newest.identity.public_key, newest.rotations)


def _fail(identity, path):
    raise OSError("the disk is full")


def test_a_new_random_key_is_not_trusted_in_place_of_another(path):
    store = TrustStore(path, first_use=True)
    store.accept("agent-1", FIRST.public_key)
    with pytest.raises(UntrustedKeyError):
        store.accept("agent-1", Identity.generate().public_key, [GOOD])


def test_a_key_that_is_revoked_by_hand_is_refused_and_not_passed_on(path):
    path.write_text(f'[agent-1]\nkey = "{FIRST.public_key.hex()}"\nrevoked = true\n')
    store = TrustStore(path, first_use=True)
    with pytest.raises(UntrustedKeyError, match="was revoked"):
        store.accept("agent-1", FIRST.public_key)
    assert store.revocations() == []
