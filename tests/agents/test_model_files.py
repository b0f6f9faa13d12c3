"""Files of models hold what was newest when they could be written."""

import hashlib

import pytest

from agents.common import files
from agents.common.files import CHECKPOINT, PUBLISHED
from agents.model_files import ModelFiles


class Models:
    """The content of both files, which changes as an agent trains, and the paths that were written."""

    def __init__(self, folder):
        self.checkpoint, self.published, self.saved = b"step 1", None, []
        self.files = ModelFiles(folder, lambda: self.checkpoint, lambda: self.published, self.saved.append)


@pytest.fixture
def models(tmp_path):
    return Models(tmp_path / "agent-0")


@pytest.fixture
def full(tmp_path):
    """A folder that takes nothing until this file is gone."""
    (tmp_path / "agent-0").write_text("a file where the folder should be")
    return tmp_path / "agent-0"


def test_the_hash_of_a_checkpoint_is_that_of_its_file(models, tmp_path):
    assert (models.files.checkpoint, models.files.saved_at) == ("", 0.0)
    models.files.save_checkpoint()

    written = (tmp_path / "agent-0" / CHECKPOINT).read_bytes()
    assert written == b"step 1"
    assert hashlib.sha256(written).hexdigest().startswith(models.files.checkpoint)
    assert len(models.files.checkpoint) == 16
    assert models.files.saved_at > 0
    assert models.saved == [models.files.checkpoint_path]


def test_what_is_written_later_is_what_is_newest_then(full, models):
    models.published = b"model 1"
    models.files.save_checkpoint()
    models.files.save_published()
    assert {path.name for path in models.files.unsaved} == {CHECKPOINT, PUBLISHED}
    assert models.saved == []
    assert models.files.saved_at == 0
    models.checkpoint, models.published = b"step 2", b"model 2"
    full.unlink()
    models.files.retry(now=True)

    assert models.files.unsaved == {}
    assert models.files.checkpoint_path.read_bytes() == b"step 2"
    assert models.files.published_path.read_bytes() == b"model 2"
    assert hashlib.sha256(b"step 2").hexdigest().startswith(models.files.checkpoint)


def test_a_model_that_is_unpublished_before_it_could_be_written_is_not_written(full, models):
    models.published = b"model 1"
    models.files.save_published()
    models.published = None
    full.unlink()
    models.files.retry(now=True)

    assert models.files.unsaved == {}
    assert not models.files.published_path.exists()


def test_it_is_tried_again_at_most_every_few_seconds_unless_now(full, models, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(files.time, "monotonic", lambda: clock[0])
    models.files.save_checkpoint()
    full.unlink()
    models.files.retry()
    assert models.saved == []
    clock[0] += files.RETRY_SECONDS
    models.files.retry()

    assert models.saved == [models.files.checkpoint_path]


def test_a_state_that_cannot_be_encoded_leaves_the_file_and_its_hash_as_they_are(models):
    models.files.save_checkpoint()
    before = models.files.checkpoint

    def fail():
        raise ValueError("not finite")

    models.files._encode_checkpoint = fail
    with pytest.raises(ValueError, match="not finite"):
        models.files.save_checkpoint()
    assert models.files.checkpoint == before
    assert models.files.checkpoint_path.read_bytes() == b"step 1"
