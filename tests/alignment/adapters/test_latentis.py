from pathlib import Path

import numpy as np
import pytest
import torch

from alignment.adapters.latentis import MAPPING, VECTORS, peer_of, read_space, to_transform, write_space
from alignment.arrays import AlignmentError
from alignment.embeddings.peer import EmbeddingPeer, align
from tests.support.embedding_tables import planted


@pytest.fixture
def table():
    first, _ = planted(0, 60, (6, 4), 3)
    return EmbeddingPeer("first", [f'item "{row}"\t' for row in range(60)], first.astype("float32"))


@pytest.mark.parametrize("ids", [[f'item "{row}"\t' for row in range(60)], list(range(60)), None])
def test_a_space_that_was_written_is_read_with_its_name_ids_and_numbers(tmp_path, table, ids):
    write_space(EmbeddingPeer("first", ids, table.vectors), tmp_path)
    back = read_space(tmp_path)

    assert (back.name, back.ids) == ("first", None if ids is None else tuple(ids))
    np.testing.assert_array_equal(back.vectors.numpy(), table.vectors)


def test_latentis_reads_what_is_written_and_the_other_way_round(tmp_path, table):
    space = pytest.importorskip("latentis.space", exc_type=ImportError)
    write_space(table, tmp_path / "ours")

    found = space.LatentSpace.load_from_disk(tmp_path / "ours")
    found.save_to_disk(tmp_path / "theirs")

    torch.testing.assert_close(found.get_vector_by_key(table.ids[7]), torch.from_numpy(table.vectors[7]))
    for peer in (peer_of(found), read_space(tmp_path / "theirs")):
        assert (peer.name, peer.ids) == (table.name, table.ids)
        np.testing.assert_array_equal(peer.vectors.numpy(), table.vectors)


def test_a_map_is_a_transform_of_latentis_in_both_directions():
    transform = pytest.importorskip("latentis.transform", exc_type=ImportError)
    first, second = (torch.from_numpy(rows) for rows in planted(0, 400, (6, 4), 3))
    found = align(first, second)
    made = to_transform(found.forward.map.shared, found.backward.map.shared)

    sequence = transform.TransformSequence([transform.Identity(), made])
    torch.testing.assert_close(sequence.transform(first)[0], found.forward(first))
    torch.testing.assert_close(sequence.inverse_transform(second)[0], found.backward(second))
    assert {name.rpartition("_state_")[2] for name in made.state_dict()} == {
        "weight", "bias", "back_weight", "back_bias",
    }  # fmt: skip


def damage(folder, file):
    (folder / file).write_bytes(b"nothing")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: damage(folder, VECTORS),
        lambda folder: damage(folder, MAPPING),
        lambda folder: damage(folder, "properties.json"),
        lambda folder: (folder / MAPPING).write_text("x\ty\na\t3\n"),
        lambda folder: torch.save({"a": 1}, folder / VECTORS),
        lambda folder: torch.save(Path(), folder / VECTORS),  # an object, whose loading would run code
    ],
)
def test_a_folder_that_holds_no_space_is_refused(tmp_path, table, spoil):
    write_space(table, tmp_path)
    spoil(tmp_path)

    with pytest.raises(AlignmentError, match="write it with LatentSpace"):
        read_space(tmp_path)
