import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from alignment.arrays import AlignmentError
from alignment.embeddings.files import read_ids, read_table

TABLE = np.arange(12, dtype=np.float32).reshape(4, 3) / 7
IDS = ["d", "c", "b", "a"]


def write(path, ids=None):
    """Write the table with ids in one of the formats."""
    match path.suffix:
        case ".npy":
            np.save(path, TABLE)
        case ".npz":
            np.savez(path, embeddings=TABLE, **({} if ids is None else {"ids": np.array(ids)}))
        case ".safetensors":
            texts = ids is not None and isinstance(ids[0], str)
            tensors = {"embeddings": torch.from_numpy(TABLE)}
            tensors |= {"ids": torch.tensor(ids)} if ids is not None and not texts else {}
            save_file(tensors, path, {"ids": json.dumps(ids)} if texts else None)
        case ".csv":
            names = [] if ids is None else ["id"]
            lines = [",".join([*names, "x", "y", "z"])]
            for row, values in enumerate(TABLE):
                lines.append(
                    ",".join([*([str(ids[row])] if ids is not None else []), *map(repr, map(float, values))])
                )
            path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("heading", ["", "index", "Unnamed: 0", "ID"])
def test_a_column_that_numbers_the_rows_is_their_ids_and_no_embedding(tmp_path, heading):
    """What pandas writes by default has the rows' numbers in front, and columns that are named 0, 1, 2."""
    lines = [f"{heading},0,1,2", *(f"{9 - row},{','.join(map(str, TABLE[row]))}" for row in range(4))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    table = read_table(tmp_path / "t.csv")

    assert table.ids == (9, 8, 7, 6)
    np.testing.assert_allclose(np.asarray(table.vectors), TABLE)


@pytest.mark.parametrize("heading", ["", "index"])
def test_numbers_of_rows_beside_a_column_of_ids_are_no_embedding_either(tmp_path, heading):
    lines = [
        f"{heading},id,x,y,z",
        *(f"{row},{IDS[row]},{','.join(map(str, TABLE[row]))}" for row in range(4)),
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    table = read_table(tmp_path / "t.csv")

    assert table.ids == tuple(IDS)
    np.testing.assert_allclose(np.asarray(table.vectors), TABLE)


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".csv"])
@pytest.mark.parametrize("ids", [None, IDS, [3, 1, 2, 0]])
def test_every_format_gives_the_same_table_and_ids(tmp_path, ending, ids):
    table = read_table(write(tmp_path / f"t{ending}", ids))

    assert table.name == "t"
    assert table.ids == (None if ids is None else tuple(ids))
    np.testing.assert_allclose(np.asarray(table.vectors), TABLE)


def test_npy_is_memory_mapped_and_takes_ids_beside_it(tmp_path):
    table = read_table(write(tmp_path / "t.npy"), "name", IDS)

    assert isinstance(table.vectors, np.memmap)
    assert (table.name, table.ids) == ("name", tuple(IDS))


def test_ids_may_be_rows_of_bytes_such_as_digests(tmp_path):
    digests = torch.arange(128, dtype=torch.uint8).reshape(4, 32)
    save_file({"vectors": torch.from_numpy(TABLE), "ids": digests}, tmp_path / "t.safetensors")

    assert read_table(tmp_path / "t.safetensors").ids[0] == bytes(range(32)).hex()


def test_half_precision_is_read(tmp_path):
    save_file({"anything": torch.from_numpy(TABLE).bfloat16()}, tmp_path / "t.safetensors")

    assert read_table(tmp_path / "t.safetensors").vectors.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("text", "ids"), [("a\nb\n\n c \n", ["a", "b", "c"]), ("3\n1\n", [3, 1]), ("01\n2\n", ["01", "2"])]
)
def test_ids_are_lines_of_a_text(tmp_path, text, ids):
    (tmp_path / "ids.txt").write_text(text)

    assert read_ids(tmp_path / "ids.txt") == ids


def pickled(path):
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def archive_of_objects(path):
    np.savez(path, embeddings=np.array([[{}, {}]], dtype=object))


def with_ids_of_half_precision(path):
    save_file({"a": torch.ones(4, 3), "ids": torch.ones(4).bfloat16()}, path)


def damaged(path, cut=0, change=None):
    """Write the table as .npz, then cut bytes off its end, or change one."""
    np.savez(path, embeddings=TABLE)
    data = bytearray(path.read_bytes())
    if change is not None:
        data[-change - 100] ^= 0xFF
    path.write_bytes(data[: len(data) - cut])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.txt", b"1 2", "ending '.txt'; write one of .npy"),
        ("t", b"1 2", "of no kind"),
        ("t.npy", b"", "no array of numbers"),
        ("t.npy", b"not numpy", "no array of numbers"),
        ("t.npy", pickled, "no array of numbers.*np.save"),
        ("t.npz", b"PK nothing", "t.npz"),
        ("t.npz", archive_of_objects, "without Python objects"),
        ("t.npz", lambda path: np.savez(path, a=TABLE, b=TABLE), "2 arrays.*a, b; name one of them"),
        ("t.npz", lambda path: np.savez(path, a=TABLE[0]), "0 arrays that could be the embeddings: a"),
        ("t.npz", lambda path: np.savez(path, a=TABLE, ids=np.zeros(4)), "ids of .* are float64"),
        ("t.safetensors", b"\xff" * 40, "no safetensors file"),
        ("t.safetensors", lambda path: save_file({"a": torch.ones(4, 3)}, path, {"ids": "{"}), "no JSON"),
        ("t.csv", b"", "is empty"),
        ("t.csv", b"1,2\n3\n", "line 2 of .* is not 2 numbers"),
        ("t.csv", b"id,x\na,1\nb,two\n", "line 3 of .* is not 1 numbers"),
        ("t.csv", b"x,y\n", "headings alone"),
        ("t.csv", b"0,1,2\n5,6,7\n", "line 1 .* counts columns"),
        ("t.csv", b"1,2,3\n5,6,7\n", "line 1 .* counts columns"),
        ("t.csv", "caf\u00e9,x\n1,2\n".encode("latin-1"), "t.csv is no text in UTF-8"),
        ("t.csv", b'x,y\n"' + b"1" * 200_000, "t.csv is no table.*close all quotes"),
        ("t.npz", lambda path: damaged(path, cut=40), "t.npz"),
        ("t.npz", lambda path: damaged(path, change=90), "t.npz"),
        ("t.safetensors", with_ids_of_half_precision, "ids of .* are float32"),
    ],
)  # fmt: skip
def test_files_without_a_table_are_refused_with_a_remedy(tmp_path, name, content, message):
    path = tmp_path / name
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)

    with pytest.raises(AlignmentError, match=message):
        read_table(path)


@pytest.mark.parametrize("ending", [".npy", ".npz", ".safetensors", ".csv"])
def test_a_missing_file_is_an_error_of_the_system(tmp_path, ending):
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / f"none{ending}")
