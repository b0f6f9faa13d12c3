import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from social_jepa.system.matplotlib_cache import VARIABLE, set_matplotlib_cache

UNWRITABLE = "/dev/null/home"


def test_a_home_that_can_be_written_keeps_matplotlibs_own_folder(tmp_path):
    environ = {"HOME": str(tmp_path)}
    set_matplotlib_cache(environ)

    assert environ == {"HOME": str(tmp_path)}
    assert not list(tmp_path.iterdir())


def test_otherwise_a_private_folder_is_used_again_and_again(tmp_path):
    found = []
    for _ in range(2):
        environ = {"HOME": UNWRITABLE}
        set_matplotlib_cache(environ, str(tmp_path))
        found.append(environ[VARIABLE])

    assert found[0] == found[1]
    assert stat.S_IMODE(Path(found[0]).stat().st_mode) == 0o700


@pytest.mark.parametrize("prepare", [lambda f: f.symlink_to("/"), lambda f: (f.mkdir(), f.chmod(0o777))])
def test_a_folder_that_others_could_have_made_is_not_used(tmp_path, prepare):
    environ = {"HOME": UNWRITABLE}
    set_matplotlib_cache(environ, str(tmp_path))
    folder = tmp_path / Path(environ.pop(VARIABLE)).name
    folder.rmdir()
    prepare(folder)
    set_matplotlib_cache(environ, str(tmp_path))

    assert VARIABLE not in environ


def test_the_users_own_choice_stays(tmp_path):
    environ = {"HOME": UNWRITABLE, VARIABLE: "/mine"}
    set_matplotlib_cache(environ, str(tmp_path))

    assert environ[VARIABLE] == "/mine"


def test_a_report_without_a_writable_home_scans_fonts_once(small_run, tmp_path):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    environ |= {"HOME": UNWRITABLE, "TMPDIR": str(tmp_path)}
    for _ in range(2):
        command = [sys.executable, "-m", "social_jepa", "report", "--run", str(small_run.folder.path)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")

    (folder,) = tmp_path.iterdir()
    assert list(folder.glob("fontlist-*.json"))
