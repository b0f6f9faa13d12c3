import numpy as np
import pytest
from safetensors.torch import load, save

from alignment.arrays import AlignmentError
from alignment.embeddings.peer import align
from alignment.embeddings.storage import encode_maps, load_maps
from tests.support.embedding_tables import planted

TABLES = planted(0, 300, (5, 8), 3)


@pytest.fixture(scope="module")
def found():
    return align(*TABLES)


@pytest.fixture
def path(found, tmp_path):
    (tmp_path / "maps.safetensors").write_bytes(encode_maps(found))
    return tmp_path / "maps.safetensors"


def test_maps_that_are_read_translate_as_before(found, path):
    stored = load_maps(path)

    for edge, made, table in (
        (found.forward, stored.forward, TABLES[0]),
        (found.backward, stored.backward, TABLES[1]),
    ):
        np.testing.assert_array_equal(made(table), edge(table))
        np.testing.assert_array_equal(made.translate_all(table), edge.map.translate_all(table))
        np.testing.assert_array_equal(made.source_coordinates(table), edge.map.source_coordinates(table))
    assert stored.scores["forward"]["r2"] == found.forward.r2
    assert stored.scores["backward"]["source_dims"] == found.backward.source_dims._asdict()


def test_five_lines_of_numpy_can_apply_them(found, path):
    tensors = {name: tensor.numpy() for name, tensor in load(path.read_bytes()).items()}

    translated = TABLES[0] @ tensors["forward.shared.weight"] + tensors["forward.shared.bias"]

    np.testing.assert_allclose(translated, found.forward(TABLES[0]), rtol=1e-9)


def rewritten(path, change):
    tensors = load(path.read_bytes())
    change(tensors)
    path.write_bytes(save(tensors, {"format": "social-jepa alignment 1", "scores": "{}"}))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"nothing"),
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        lambda path: path.write_bytes(save(load(path.read_bytes()), {"format": "another"})),
        lambda path: rewritten(path, lambda tensors: tensors.pop("forward.slopes")),
        lambda path: rewritten(path, lambda tensors: tensors["forward.slopes"].mul_(2)),
        lambda path: rewritten(path, lambda tensors: tensors["backward.full.bias"].fill_(float("nan"))),
        lambda path: rewritten(
            path, lambda tensors: tensors.update({"forward.slopes": tensors["forward.errors"][:1].clone()})
        ),
    ],
)
def test_another_or_a_damaged_file_is_refused(path, spoil):
    spoil(path)

    with pytest.raises(AlignmentError, match="holds no maps of an alignment"):
        load_maps(path)
