"""Laws of when the server reads a run again."""

import contextlib
import math

from social_jepa.server import snapshots as view_module
from social_jepa.server.snapshots import SnapshotCache
from tests.support.servers import copy_run, note


def test_the_graph_is_read_again_only_when_something_happened(small_run, tmp_path, monkeypatch):
    monkeypatch.setattr(view_module, "SLOW", math.inf)
    folder = copy_run(small_run.folder, tmp_path)
    view = SnapshotCache(folder)
    with contextlib.closing(view):
        first = view.now()

        assert view.now() is first
        folder.simulation_file.write_text("{}")
        second = view.now()
        assert second is not first
        note(folder, "moved", agent="agent-0")
        assert view.now() is not second


def test_a_graph_that_is_slow_to_read_may_be_a_little_older(small_run, tmp_path, monkeypatch):
    monkeypatch.setattr(view_module, "SLOW", -1.0)
    monkeypatch.setattr(view_module, "PATIENCE", 1e9)
    folder = copy_run(small_run.folder, tmp_path)
    view = SnapshotCache(folder)
    with contextlib.closing(view):
        first = view.now()
        note(folder, "moved", agent="agent-0")
        assert view.now() is first
        monkeypatch.setattr(view_module, "PATIENCE", 0.0)
        assert view.now() is not first
