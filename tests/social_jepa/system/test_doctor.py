import json
from importlib import metadata
from pathlib import Path

import pytest

from social_jepa.system import doctor
from social_jepa.system.check import Check
from social_jepa.system.probe import ProbeError

ROOT = Path(__file__).resolve().parents[3]


def absent(name):
    raise metadata.PackageNotFoundError(name)


def failing(code):
    raise ProbeError("no driver")


FAILING = {
    "an old python": lambda: [doctor.check_python((3, 10, 9))],
    "nothing installed": lambda: list(doctor.check_packages(absent, absent)),
    "a package is absent": lambda: list(doctor.check_packages(lambda _: ["numpy>=2.0"], absent)),
    "a package is old": lambda: list(doctor.check_packages(lambda _: ["ray>=2.59"], lambda _: "2.9.0")),
    "this project is not installed": lambda: [doctor.check_installation(absent)],
    "another distribution has our name": lambda: list(doctor.check_names({"agents": ["openai-agents"]}))[1:2],
    "no OpenGL": lambda: [doctor.check_opengl(lambda _: None)],
    "no rendering": lambda: [doctor.check_rendering(failing)],
    "no torch": lambda: list(doctor.check_torch_devices(failing)),
}


@pytest.mark.parametrize("check", FAILING.values(), ids=FAILING)
def test_every_failed_check_has_a_remedy(check):
    found = check()

    assert found
    assert all(not check.ok and check.found and check.remedy for check in found)


def test_a_missing_library_is_named_with_its_apt_command():
    check = doctor.check_opengl(lambda name: None if name == "GLU" else f"lib{name}.so.1")

    assert not check.ok
    assert check.found == "missing: libGLU"
    assert check.remedy.startswith("sudo apt-get install")
    assert "libglu1-mesa" in check.remedy


def test_setup_script_and_doctor_name_the_same_system_packages():
    script = (ROOT / "scripts" / "check_system.sh").read_text()
    packages = doctor.APT_LINE.removeprefix("sudo apt-get install -y ")

    assert f'packages="{packages}"' in script


@pytest.mark.parametrize(
    ("found", "ok"), [("2.59", True), ("2.60.0", True), ("10.0+cpu", True), ("2.58.9", False)]
)
def test_versions_are_compared_as_numbers(found, ok):
    (check,) = doctor.check_packages(lambda _: ["ray>=2.59"], lambda _: found)

    assert check.ok == ok


def test_requirements_of_extras_are_not_checked():
    lines = ["numpy>=2.0", 'pytest>=8.3; extra == "test"']

    assert [check.name for check in doctor.check_packages(lambda _: lines, lambda _: "9.0")] == ["numpy"]


def test_import_names_owned_only_by_this_project_pass():
    owners = {name: ["social-jepa"] for name in doctor.TOP_LEVEL_NAMES}

    assert all(check.ok for check in doctor.check_names(owners))


def test_a_machine_without_gpus_or_bfloat16_passes():
    bare = json.dumps({"bf16": False, "gpus": []})

    assert all(check.ok for check in doctor.check_torch_devices(lambda _: bare))


@pytest.mark.parametrize("address", ["", "local"])
def test_without_a_cluster_address_no_cluster_is_checked(address):
    (check,) = doctor.check_ray(None, {"RAY_ADDRESS": address}, lambda address: pytest.fail(address))

    assert check.ok


@pytest.mark.parametrize(
    ("flag", "variable", "joined"), [("10.0.0.1:6379", "auto", "10.0.0.1:6379"), (None, "auto", "auto")]
)
def test_the_cluster_that_a_run_would_join_is_checked(flag, variable, joined):
    asked = []

    def check(address):
        asked.append(address)
        yield Check("ray cluster", False, "no answer", "start it")

    (found,) = doctor.check_ray(flag, {"RAY_ADDRESS": variable}, check)
    assert (asked, found.ok) == ([joined], False)


class Installed:
    """A distribution that was installed in a folder, or from one as an editable installation."""

    def __init__(self, folder, source=""):
        self.folder, self.source = folder, source

    def read_text(self, name):
        return self.source or None

    def locate_file(self, name):
        return self.folder


def test_the_code_that_runs_is_compared_with_what_is_installed(tmp_path):
    editable = json.dumps({"url": ROOT.as_uri(), "dir_info": {"editable": True}})

    assert doctor.check_installation(lambda _: Installed(ROOT)).ok
    assert doctor.check_installation(lambda _: Installed(tmp_path, editable)).ok
    other = doctor.check_installation(lambda _: Installed(tmp_path))
    assert not other.ok
    assert str(tmp_path) in other.found


@pytest.mark.gl
def test_this_machine_renders():
    check = doctor.check_rendering()

    assert check.ok, f"{check.found}: {check.remedy}"
