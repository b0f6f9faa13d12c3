import json
from importlib import metadata
from pathlib import Path

import pytest

from social_jepa.system import doctor

ROOT = Path(__file__).resolve().parents[3]
GIB = 2**30


def absent(name):
    raise metadata.PackageNotFoundError(name)


def failing(code):
    raise doctor.ProbeError("no driver")


FAILING = {
    "an old python": lambda: [doctor.check_python((3, 10, 9))],
    "nothing installed": lambda: list(doctor.check_packages(absent, absent)),
    "a package is absent": lambda: list(doctor.check_packages(lambda _: ["numpy>=2.0"], absent)),
    "a package is old": lambda: list(doctor.check_packages(lambda _: ["ray>=2.59"], lambda _: "2.9.0")),
    "another distribution has our name": lambda: list(doctor.check_names({"agents": ["openai-agents"]}))[1:2],
    "no OpenGL": lambda: [doctor.check_opengl(lambda _: None)],
    "no rendering": lambda: [doctor.check_rendering(failing)],
    "no Ray": lambda: [doctor.check_ray(absent, {})],
    "a cluster that does not answer": lambda: [
        doctor.check_ray(lambda _: "2.60.0", {"RAY_ADDRESS": "10.0.0.1:6379"}, lambda _: False)
    ],
    "one CPU": lambda: [doctor.check_cpus(lambda: 1)],
    "no memory": lambda: [doctor.check_memory(lambda: GIB)],
    "no torch": lambda: list(doctor.check_torch_devices(failing)),
    "a full disk": lambda: [doctor.check_disk("here", lambda _: (GIB, GIB, 0))],
    "little shared memory": lambda: [doctor.check_shared_memory("there", lambda _: (GIB, GIB, 64 * 2**20))],
    "no shared memory": lambda: [doctor.check_shared_memory("/no/such/folder")],
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


@pytest.mark.parametrize("address", ["", "auto", "local"])
def test_without_a_cluster_address_no_connection_is_made(address):
    def listens(_):
        raise AssertionError("a connection was made")

    assert doctor.check_ray(lambda _: "2.60.0", {"RAY_ADDRESS": address}, listens).ok


def test_a_failing_probe_raises_its_last_line():
    with pytest.raises(doctor.ProbeError, match="no such display"):
        doctor.run_probe("print('fine so far'); raise RuntimeError('no such display')")


def test_a_hanging_probe_times_out():
    with pytest.raises(doctor.ProbeError, match="no answer within"):
        doctor.run_probe("import time; time.sleep(60)", seconds=0.2)


@pytest.mark.gl
def test_this_machine_renders():
    check = doctor.check_rendering()

    assert check.ok, f"{check.found}: {check.remedy}"


def test_all_checks_of_this_machine_have_unique_names():
    names = [check.name for check in doctor.checks()]

    assert len(names) == len(set(names))
    assert {"python", "OpenGL libraries", "rendering", "ray", "CPUs", "memory", "GPUs"} <= set(names)
