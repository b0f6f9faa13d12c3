from dataclasses import replace

import pytest

from agents.common.files import CHECKPOINT
from agents.file_transfer import FOLDER_ID, AgentFiles, StoredFile, fetch


def test_a_file_that_arrives_with_other_content_is_refused(tmp_path):
    files = AgentFiles("run", "id", {CHECKPOINT: StoredFile(4, "0123456789abcdef")})

    with pytest.raises(OSError, match="has changed while it was fetched"):
        fetch(files, tmp_path, lambda file, offset: b"data"[offset:])
    assert not list(tmp_path.iterdir())


def test_a_run_folder_is_visible_by_its_id_not_by_its_path(tmp_path):
    files = AgentFiles(str(tmp_path), "id", {})
    assert not files.visible()
    (tmp_path / FOLDER_ID).write_text("id")
    assert files.visible()
    assert not replace(files, folder_id="of another machine").visible()
