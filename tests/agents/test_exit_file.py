import subprocess
import sys

import pytest

from agents.exit_file import ProcessExit, read_exit

SCRIPT = """
import sys
from pathlib import Path
from agents.exit_file import record_exit
record_exit(Path(sys.argv[1]))
{}
"""


def ended(tmp_path, line):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(line))
    path = tmp_path / "logs" / "exit.txt"
    done = subprocess.run([sys.executable, script, path], capture_output=True, timeout=60)
    return done.returncode, read_exit(path)


def test_an_exit_without_clean_up_leaves_its_code_and_place(tmp_path):
    code, found = ended(tmp_path, "import os; os._exit(3)")

    assert code == 3
    assert found == ProcessExit(3, "", str(tmp_path / "script.py"), 6)


def test_an_exit_names_the_agent_of_a_process_with_several_whose_code_ended_it(tmp_path):
    line = "import os; from agents.logs import agent_at_work; agent_at_work.set('agent-1'); os._exit(3)"

    assert ended(tmp_path, line)[1].agent == "agent-1"


def test_a_crash_of_native_code_leaves_its_name(tmp_path):
    code, found = ended(tmp_path, "import faulthandler; faulthandler._sigsegv()")

    assert code < 0
    assert (found.code, found.crash) == (None, "Segmentation fault")
    assert found.file.endswith("script.py")


@pytest.mark.parametrize("line", ["pass", "sys.exit(4)", "import os; os.kill(os.getpid(), 9)"])
def test_a_normal_end_and_a_kill_leave_nothing(tmp_path, line):
    assert ended(tmp_path, line)[1] is None


def test_a_missing_file_says_nothing(tmp_path):
    assert read_exit(tmp_path / "none") is None
