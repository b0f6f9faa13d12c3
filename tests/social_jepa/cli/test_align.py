import json
import subprocess
import sys

import numpy as np
import pytest

from alignment.embeddings.peer import align
from alignment.embeddings.storage import load_maps
from social_jepa.records import decode
from social_jepa.records.alignment import AlignmentRecord
from tests.support.command import call
from tests.support.embedding_tables import planted


@pytest.fixture
def files(tmp_path):
    """Two tables that share 3 directions, as files of float32."""
    paths = tmp_path / "one.npy", tmp_path / "two.npy"
    for path, table in zip(paths, planted(0, 400, (5, 8), 3), strict=True):
        np.save(path, table.astype(np.float32))
    return paths


def test_both_edges_are_printed_with_their_null_and_a_sentence(files):
    said = call("align", *files)

    assert said.status == 0, said.err
    assert (
        "one > two: accepted: 3 directions are shared, private are 2 of 5 of one, 5 of 8 of two" in said.out
    )
    assert "two > one: accepted: 3 directions are shared" in said.out
    assert "the null permutes them, no direction has a predictability" in said.out
    assert "matched by position: 200 fit the maps, 200 others score them" in said.out


def test_the_document_has_the_numbers_of_the_library(files):
    said = call("align", *files, "--json", "--baselines", "--seed", 3)
    record = decode(said.out, AlignmentRecord)
    edge = align(*(np.load(path) for path in files)).forward

    assert record.edges[0].shared_dim == edge.shared_dim == 3
    assert record.seed == 3
    assert {score.method for score in record.methods} == {
        "shared directions", "full regression", "Procrustes, white rows", "Procrustes, raw rows",
    }  # fmt: skip
    for edge_record in record.edges:
        ours, theirs = (
            {score.method: score for score in record.methods if score.source == edge_record.source}[name]
            for name in ("shared directions", "Procrustes, white rows")
        )
        assert ours.r2_shared == pytest.approx(edge_record.r2_shared)
        assert ours.r2_white >= theirs.r2_white
        assert ours.retrieval_at_1 >= theirs.retrieval_at_1


LOADED = """
import sys
from social_jepa.cli.app import main
try:
    main()
except SystemExit as ending:
    print("status", ending.code or 0, "scipy" in sys.modules)
"""


@pytest.mark.parametrize("options", [[], ["--baselines"]])
def test_scipy_is_imported_for_baselines_alone(files, options):
    command = [sys.executable, "-c", LOADED, "align", *files, *options]
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.stdout.splitlines()[-1] == f"status 0 {bool(options)}", done.stderr


def test_rows_are_matched_by_the_ids_of_a_file(files, tmp_path):
    _, second = files
    order = np.random.default_rng(0).permutation(400)
    np.save(second, np.load(second)[order])
    for name, rows in (("a.txt", range(400)), ("b.txt", order)):
        (tmp_path / name).write_text("\n".join(f"row {row}" for row in rows))

    matched = call("align", *files, "--ids", tmp_path / "a.txt", "--ids", tmp_path / "b.txt", "--json")
    unmatched = call("align", *files, "--json")

    assert [json.loads(said.out)["edges"][0]["shared_dim"] for said in (matched, unmatched)] == [3, 0]
    assert json.loads(matched.out)["matched_by"] == "id"


def test_the_maps_and_the_picture_are_written(files, tmp_path):
    maps, picture = tmp_path / "maps.safetensors", tmp_path / "bars.svg"

    said = call("align", *files, "--out", maps, "--picture", picture)
    again = tmp_path / "again.svg"
    call("align", *files, "--picture", again)

    assert said.status == 0, said.err
    assert load_maps(maps).forward(np.load(files[0])).shape == (400, 8)
    assert picture.read_bytes() == again.read_bytes()
    assert "null (permutation)" in picture.read_text()


def test_a_dollar_sign_in_the_name_of_a_file_is_drawn_as_it_is(files, tmp_path):
    named = [
        path.rename(tmp_path / f"{name}.npy") for path, name in zip(files, ("a$x^$", "b$_"), strict=True)
    ]

    said = call("align", *named, "--picture", tmp_path / "bars.svg")

    assert (said.status, said.err) == (0, "")
    assert "a$x^$ to b$_: 3 shared" in (tmp_path / "bars.svg").read_text()


@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_pictures_have_the_format_of_their_ending(files, tmp_path, ending):
    assert call("align", *files, "--picture", tmp_path / f"bars.{ending}").status == 0
    assert (tmp_path / f"bars.{ending}").read_bytes()[1:4] in (b"PNG", b"PDF")


def test_time_order_changes_the_null(tmp_path):
    paths = tmp_path / "x" / "t.npy", tmp_path / "y" / "t.npy"
    for path, table in zip(paths, planted(1, 1000, (4, 4), 2, rate=0.6), strict=True):
        path.parent.mkdir()
        np.save(path, table)

    said = call("align", *paths, "--time-order")

    assert "x/t > y/t: accepted: 2 directions are shared" in said.out
    assert "the null shifts them in time by their memory of" in said.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.npy"], "/none.npy\n"),
        (["--heldout", "2"], "choose between 0 and 1"),
        (["--pairs", "399"], "lower pairs or heldout"),
        (["--picture", "bars.gif"], "ends in .svg, .png or .pdf"),
        (["--memory", "3"], "set time_order as well"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_sentence(files, tmp_path, words, message):
    tables = [tmp_path / words[0], files[1]] if words[0].endswith(".npy") else files
    said = call("align", *tables, *(words if tables is files else []))

    assert said.status == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_refused_edge_is_no_error(tmp_path):
    for name, table in zip(("a.npy", "b.npy"), planted(2, 200, (4, 4), 0), strict=True):
        np.save(tmp_path / name, table)

    said = call("align", tmp_path / "a.npy", tmp_path / "b.npy")

    assert said.status == 0
    assert "a > b: refused: no direction is shared: the strongest correlation" in said.out
