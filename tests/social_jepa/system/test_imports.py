import subprocess
import sys

import pytest

from social_jepa.system.imports import OURS, TOP_LEVEL_NAMES, check_imports, find_hidden


def hide(folder, what):
    if what.endswith(".py"):
        (folder / what).write_text("")
    else:
        (folder / what).mkdir()


def test_nothing_hides_our_packages_here():
    assert check_imports().ok
    assert find_hidden([str(OURS)]) == {}


@pytest.mark.parametrize("what", ["agents.py", "env.py", "alignment.py"])
def test_a_file_that_is_found_first_is_named(tmp_path, what):
    hide(tmp_path, what)
    check = check_imports(search_path=[str(tmp_path), str(OURS)])

    assert not check.ok
    assert f"{tmp_path / what} hides this project's package {what.removesuffix('.py')}" in check.found
    assert check_imports(search_path=[str(OURS), str(tmp_path)]).ok


def test_a_folder_without_init_hides_only_what_an_editable_installation_finds(tmp_path):
    """Python takes such a folder only where no search path has a package, but before an editable finder."""
    hide(tmp_path, "env")

    assert check_imports(search_path=[str(tmp_path), str(OURS)]).ok
    check = check_imports(search_path=[str(tmp_path)])
    assert f"{tmp_path / 'env'} hides this project's package env" in check.found


def test_another_distributions_package_is_named(tmp_path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text("import openai_that_is_not_there")

    assert str(tmp_path / "agents") in check_imports(search_path=[str(tmp_path)]).found


def test_another_checkout_of_this_project_hides_nothing(tmp_path):
    """As where the project was installed from a clone, and a command is given in that clone."""
    for name in TOP_LEVEL_NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")

    assert check_imports(search_path=[str(tmp_path), str(OURS)]).ok


def test_the_current_folder_counts_where_ray_workers_run(tmp_path, monkeypatch):
    hide(tmp_path, "agents.py")
    monkeypatch.chdir(tmp_path)

    assert check_imports().ok
    assert not check_imports(current_folder=True).ok


def run_in(folder, *command):
    return subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("words", [["status"], ["run", "agents.count=2"], ["graph"]])
def test_the_command_line_names_the_file_that_hides_a_package(tmp_path, words):
    hide(tmp_path, "agents.py")
    done = run_in(tmp_path, "-m", "social_jepa", *words)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"{tmp_path / 'agents.py'} hides this project's package agents" in done.stderr


def test_a_run_is_refused_where_rays_workers_would_find_another_package(tmp_path):
    """A console script does not search the current folder, but Ray's workers do."""
    hide(tmp_path, "agents.py")
    command = "import sys; from social_jepa.cli.app import main; sys.argv[1:] = ['run']; main()"
    done = run_in(tmp_path, "-P", "-c", command)

    assert done.returncode == 1
    assert "agents.py hides" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_the_python_interface_names_the_file_that_hides_a_package(tmp_path):
    hide(tmp_path, "agents.py")
    (tmp_path / "mine.py").write_text("from social_jepa import Simulation")
    done = run_in(tmp_path, "mine.py")

    assert "UnfitMachineError: imports: " in done.stderr
    assert str(tmp_path / "agents.py") in done.stderr.splitlines()[-1]


def test_doctor_runs_though_a_package_is_hidden(tmp_path):
    hide(tmp_path, "agents.py")
    code = "from social_jepa.system import doctor; print(doctor.check_imports().found)"

    assert "agents.py hides" in run_in(tmp_path, "-c", code).stdout


def test_the_command_line_is_imported_without_the_packages_that_may_be_hidden():
    code = "import sys, social_jepa.cli.app; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not {"env", "agents", "alignment"} & set(done.stdout.split())
