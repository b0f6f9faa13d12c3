"""When the server reads the graph of a run again."""

import contextlib
import math
import threading

from social_jepa.server import snapshots
from social_jepa.server.snapshots import SnapshotCache
from tests.support.servers import add_event, copy_run


def test_the_graph_is_read_again_only_after_a_change(small_run, tmp_path, monkeypatch):
    monkeypatch.setattr(snapshots, "SLOW_SECONDS", math.inf)
    folder = copy_run(small_run.folder, tmp_path)
    with contextlib.closing(SnapshotCache(folder)) as cache:
        first = cache.current()

        assert cache.current() is first
        folder.simulation_file.write_text("{}")
        second = cache.current()
        assert second is not first
        add_event(folder, "moved", agent="agent-0")
        assert cache.current() is not second


def test_values_of_a_graph_are_kept_up_to_a_number(small_run, tmp_path):
    with contextlib.closing(SnapshotCache(copy_run(small_run.folder, tmp_path))) as cache:
        snapshot, computed = cache.current(), []
        for key in [*map(str, range(100)), "99", "0"]:
            assert snapshot.cached(key, lambda _, key=key: computed.append(key) or key) == key

        assert computed == [*map(str, range(100)), "0"]
        assert len(snapshot.cache) == snapshots.MAX_CACHED


def test_a_graph_that_is_slow_to_read_is_kept_longer(small_run, tmp_path, monkeypatch):
    monkeypatch.setattr(snapshots, "SLOW_SECONDS", -1.0)
    monkeypatch.setattr(snapshots, "MAX_AGE_FACTOR", 1e9)
    folder = copy_run(small_run.folder, tmp_path)
    with contextlib.closing(SnapshotCache(folder)) as cache:
        first = cache.current()
        add_event(folder, "moved", agent="agent-0")
        assert cache.current() is first
        monkeypatch.setattr(snapshots, "MAX_AGE_FACTOR", 0.0)
        assert cache.current() is not first


def test_the_identifier_of_a_run_is_read_while_another_thread_reads_the_graph(small_run, tmp_path):
    with contextlib.closing(SnapshotCache(copy_run(small_run.folder, tmp_path))) as cache:
        ledger, asked, found = cache.ledger, threading.Event(), []

        def announced_ledger():
            asked.set()
            return ledger()

        cache.ledger = announced_ledger
        other = threading.Thread(target=lambda: found.append(cache.run_id), daemon=True)
        with ledger():  # as a thread that reads the graph has it
            other.start()
            asked.wait()
            found.append(cache.run_id)  # it is part of the graph's entity tag
        other.join(60)

    assert len(found) == 2
    assert found[0] == found[1]
