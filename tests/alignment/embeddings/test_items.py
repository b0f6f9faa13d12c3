import hashlib

import numpy as np
import pytest

from alignment.arrays import AlignmentError
from alignment.embeddings.items import AnchorItems
from alignment.embeddings.peer import EmbeddingPeer
from tests.support.embedding_tables import rotation

SENTENCES = [f"sentence {number}".encode() for number in range(200)]


def test_an_id_is_the_hash_of_the_content_whatever_the_file_is_called(tmp_path):
    for name, content in (("b/x.txt", b"one"), ("a.bin", b"two"), ("copy.bin", b"two")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)

    items = AnchorItems.from_files([tmp_path])

    assert items.ids == tuple(sorted(hashlib.sha256(content).hexdigest() for content in (b"one", b"two")))
    assert {items.read(item) for item in items} == {b"one", b"two"}
    assert items.ids == AnchorItems.from_bytes([b"two", b"one", b"two"]).ids
    assert repr(items) == "AnchorItems(2 items)"


def test_a_file_that_changed_since_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"one")
    items = AnchorItems.from_files([tmp_path / "x"])
    (tmp_path / "x").write_bytes(b"two")

    with pytest.raises(AlignmentError, match="has changed since it was hashed"):
        items.read(items.ids[0])


@pytest.mark.parametrize(
    ("make", "given"), [("from_files", []), ("from_bytes", []), ("from_bytes", ["text"])]
)
def test_what_are_no_items_is_refused(make, given):
    with pytest.raises(AlignmentError):
        getattr(AnchorItems, make)(given)


def test_peers_with_copies_of_some_items_negotiate_on_these():
    """Each peer has its own list in its own order, and an encoder that reads bytes."""
    turn = rotation(np.random.default_rng(0), 4)

    def features(item):
        seed = int(hashlib.sha256(item).hexdigest()[:8], 16)
        return np.random.default_rng(seed).standard_normal(4)

    first, second = AnchorItems.from_bytes(SENTENCES[:150]), AnchorItems.from_bytes(SENTENCES[:49:-1])
    a = EmbeddingPeer("a", first, lambda ids: np.stack([features(first.read(each)) for each in ids]))
    b = EmbeddingPeer("b", second, lambda ids: np.stack([features(second.read(each)) @ turn for each in ids]))

    found = a.negotiate(b)

    assert (found.shared_anchors, found.forward.shared_dim) == (100, 4)
    assert found.forward.r2 > 0.999
