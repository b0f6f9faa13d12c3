import json

import pytest

from agents.protocol.inspection import inspect
from tests.support.command import call
from tests.support.keys import identity_of, signed
from tests.support.swarm import example_offer

DATA = signed(example_offer())
KEY = identity_of("agent-0").public_key.hex()


@pytest.mark.parametrize("content", [DATA, DATA.hex().encode() + b"\n"], ids=["bytes", "digits"])
def test_inspect_prints_the_fields_of_an_envelope_in_bytes_or_digits(tmp_path, content):
    file = tmp_path / "captured"
    file.write_bytes(content)
    done = call("wire", "inspect", file, "--key", KEY, "--json")

    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert (found["sender"], found["recipient"], found["kind"]) == ("agent-0", "agent-1", "message")
    assert found["message"] == inspect(DATA)["message"]
    assert found["signature_holds"] is True


def test_inspect_says_when_the_signature_does_not_hold(tmp_path):
    file = tmp_path / "captured"
    file.write_bytes(DATA[:-1] + bytes([DATA[-1] ^ 1]))
    done = call("wire", "inspect", file, "--key", KEY)

    assert done.status == 1
    assert "signature holds        NO" in done.out
    assert "message.checkpoint     c0de0" in done.out


@pytest.mark.parametrize(
    ("content", "words", "status", "sentence"),
    [
        (DATA[:30], (), 2, "it ends at byte 30, within the field time"),
        (b"hello", (), 2, "it ends at byte 5, within the field version"),
        (DATA, ("--key", "abc"), 2, "--key abc is not a public key"),
        (None, (), 2, "there is no file "),
    ],
    ids=["truncated", "something else", "key", "missing"],
)
def test_inspect_refuses_what_it_cannot_read_with_a_sentence(tmp_path, content, words, status, sentence):
    file = tmp_path / "captured"
    if content is not None:
        file.write_bytes(content)
    done = call("wire", "inspect", file, *words)

    assert done.status == status
    assert sentence in done.err
    assert "Traceback" not in done.err
