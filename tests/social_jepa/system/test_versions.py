import json
import subprocess
import sys
from pathlib import Path

from social_jepa.config.run_config import load_config
from social_jepa.storage.run_folder import create
from social_jepa.system.versions import commit, versions
from tests.support.command import call


def git(folder, *words):
    identity = ["-c", "user.name=A", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", folder, *identity, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_versions_name_the_program_and_its_libraries():
    found = versions()

    assert {"python", "torch", "ray", "social-jepa"} <= found.keys()
    assert "not installed" not in found.values()


def test_the_commit_is_that_of_the_source_tree_and_says_when_files_differ(tmp_path):
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("x = 1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "--quiet", "-m", "one")
    git(tmp_path, "tag", "v1")
    head = git(tmp_path, "rev-parse", "HEAD")

    assert commit(tmp_path) == head[:12]

    (tmp_path / "code.py").write_text("x = 2\n")
    assert commit(tmp_path) == f"{head[:12]}-dirty"


def test_a_repository_around_an_installed_copy_is_not_taken_for_its_own(tmp_path):
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "of another project")
    (tmp_path / "site-packages").mkdir()

    assert commit(tmp_path / "site-packages") == commit(tmp_path / "elsewhere")


def test_a_repository_that_git_cannot_read_has_no_known_commit(tmp_path):
    (tmp_path / ".git").write_text("nonsense")

    assert commit(tmp_path) == ""


def test_a_run_folder_records_the_commit(tmp_path):
    folder = create(load_config(overrides=["scene.renderer=toy"]), tmp_path / "run")

    recorded = json.loads((folder.path / "versions.json").read_text())
    assert recorded == versions() | {"commit": commit() or "unknown"}


def test_the_command_line_prints_the_versions():
    said = call("--version")

    assert (said.status, said.err) == (0, "")
    first, *rest = said.out.splitlines()
    assert first.split()[:2] == ["social-jepa", versions()["social-jepa"]]
    assert commit() in first
    assert rest == [f"{name} {versions()[name]}" for name in ("python", "torch", "ray")]


def test_the_versions_are_printed_without_importing_torch():
    code = (
        "import sys; sys.argv = ['social-jepa', '--version']\n"
        "from social_jepa.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: print(sorted({'torch', 'ray', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3]
    )

    assert done.stdout.splitlines()[-1] == "[]"
