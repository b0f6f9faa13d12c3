"""The runs that come with the package, and how they are packed."""

import tarfile

import pytest

from agents.common.files import CHECKPOINT
from agents.protocol.identity import KEY_FILE
from social_jepa.graph.query import load_published, query
from social_jepa.graph.results import full_document, load_results
from social_jepa.pretrained.archive import SCENES, archive_of, pack, unpack
from social_jepa.records import FullGraphDocument, decode
from social_jepa.storage.run_folder_errors import RunFolderExistsError, RunFolderWriteError

MOST_BYTES = 3_000_000


def names(archive):
    with tarfile.open(archive) as file:
        return file.getnames()


def test_the_archives_are_small_and_hold_no_checkpoint_and_no_signing_key():
    assert sum(archive_of(scene).stat().st_size for scene in SCENES) < MOST_BYTES
    for scene in SCENES:
        assert not [name for name in names(archive_of(scene)) if name.endswith((CHECKPOINT, KEY_FILE))]


@pytest.mark.parametrize("scene", SCENES)
def test_a_packed_run_is_unpacked_and_packed_again_to_the_same_bytes(scene, tmp_path):
    folder = unpack(archive_of(scene), tmp_path / "run")
    pack(folder, tmp_path / "again.tar.xz")

    assert (tmp_path / "again.tar.xz").read_bytes() == archive_of(scene).read_bytes()


@pytest.mark.parametrize("scene", SCENES)
def test_a_packed_run_is_what_this_version_reads_and_writes(scene, tmp_path):
    folder = unpack(archive_of(scene), tmp_path / "run")
    results = load_results(folder)
    written, found = decode(folder.graph_file.read_bytes(), FullGraphDocument), full_document(results)

    assert folder.config().scene.renderer == scene
    assert (written.agents, written.edges) == (found.agents, found.edges)
    assert written.universe.r2 == pytest.approx(found.universe.r2)
    assert len(results.document.edges) == 12
    assert min(edge.r2_shared for edge in results.document.edges) > 0.8
    for agent in results.document.agents:
        load_published(results, agent.name)


def test_what_one_agent_sees_is_what_another_finds_nearest(tmp_path):
    results = load_results(unpack(archive_of("toy"), tmp_path / "run"))
    seen = results.pools("agent-2").heldout.ids[::64]
    found = [query(results, "agent-0", "agent-2", tick=tick).nearest[0].tick for tick in seen]

    assert sum(map(int.__eq__, found, seen)) >= 0.8 * len(seen)  # 1 in 768 by chance


def test_a_run_is_unpacked_into_a_new_folder_alone(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunFolderExistsError):
        unpack(archive_of("toy"), tmp_path)
    with pytest.raises(RunFolderWriteError):
        unpack(archive_of("toy"), tmp_path / "file" / "run")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]
