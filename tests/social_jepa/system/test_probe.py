import time

import pytest

from social_jepa.system.probe import ProbeError, run_probe


def test_a_failing_probe_raises_its_last_line():
    with pytest.raises(ProbeError, match="no such display"):
        run_probe("print('fine so far'); raise RuntimeError('no such display')")


def test_a_hanging_probe_times_out():
    with pytest.raises(ProbeError, match="no answer within"):
        run_probe("import time; time.sleep(60)", seconds=0.2)


def test_a_probe_that_hangs_later_has_the_result_of_its_last_complete_line():
    began = time.monotonic()
    code = "import sys, time; print('one', flush=True); print('two', end='', flush=True); time.sleep(60)"

    assert run_probe(code, seconds=3.0) == "one"
    assert time.monotonic() - began < 50


def test_a_file_of_the_current_folder_hides_no_package(tmp_path, monkeypatch):
    (tmp_path / "agents.py").write_text("raise ImportError('the wrong one')")
    monkeypatch.chdir(tmp_path)

    assert run_probe("import agents.common, sys; print(sys.argv[1])", "fine") == "fine"
