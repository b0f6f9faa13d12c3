import json

import pytest

from agents.protocol.identity import Identity
from agents.protocol.trust import KeyRevocation, RotatedIdentity, TrustedKey, TrustStore, UntrustedKeyError
from tests.support.command import call


@pytest.fixture
def file(tmp_path):
    Identity.generate().save(tmp_path / "identity.key")
    return tmp_path / "identity.key"


def run(verb, file, *words, name="agent-1"):
    done = call("key", verb, file, "--name", name, *words)
    assert done.status == 0, done.err
    return done.out


def test_what_show_prints_is_a_trust_file_that_admits_the_key(file, tmp_path):
    (tmp_path / "trust.toml").write_text(run("show", file))
    key = Identity.load(file).public_key
    assert TrustStore(tmp_path / "trust.toml", first_use=False).accept("agent-1", key).public_key == key
    assert json.loads(run("show", file, "--json"))["key"] == key.hex()


def test_a_rotated_key_is_accepted_by_those_who_trust_the_old_one(file, tmp_path):
    (tmp_path / "trust.toml").write_text(run("show", file))
    old = Identity.load(file).public_key
    run("rotate", file)
    own = RotatedIdentity(file)

    assert own.identity.public_key != old
    store = TrustStore(tmp_path / "trust.toml", first_use=False)
    assert store.accept("agent-1", own.identity.public_key, own.rotations)


def test_what_revoke_prints_is_a_trust_file_that_refuses_the_key_and_passes_it_on(file, tmp_path):
    (tmp_path / "trust.toml").write_text(run("revoke", file))
    store = TrustStore(tmp_path / "trust.toml", first_use=True)
    with pytest.raises(UntrustedKeyError, match="was revoked"):
        store.accept("agent-1", Identity.load(file).public_key)
    (statement,) = store.revocations()
    other = TrustStore(tmp_path / "other.toml", first_use=True)
    other.accept("agent-1", Identity.load(file).public_key)
    assert other.revoke(statement)


@pytest.mark.parametrize("name", ["a.b", ".a", "agent-1", "7", "-", "_._"])
def test_what_is_printed_for_any_name_is_a_trust_file_with_that_name(file, tmp_path, name):
    path, key = tmp_path / "trust.toml", Identity.load(file).public_key
    path.write_text(run("show", file, name=name))
    assert TrustStore(path, first_use=False).accept(name, key) == TrustedKey(key)
    path.write_text(run("revoke", file, name=name))
    known = TrustStore(path, first_use=False).get(name)
    assert (known.public_key, known.revoked) == (key, True)
    assert KeyRevocation(name, key, known.revocation).holds()


@pytest.mark.parametrize("verb", ["show", "rotate", "revoke"])
def test_a_missing_key_is_not_made(tmp_path, verb):
    done = call("key", verb, tmp_path / "identity.key", "--name", "agent-1")
    assert done.status == 2
    assert "identity.key cannot be read" in done.err
    assert not list(tmp_path.iterdir())
