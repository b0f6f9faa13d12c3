"""Installed packages, pinned versions, make targets and cluster.yaml."""

import json
import re
import subprocess
import tomllib
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest
import yaml
from setuptools import find_packages

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
INSTALLED = find_packages(ROOT, include=PROJECT["tool"]["setuptools"]["packages"]["find"]["include"])
PINS = (ROOT / "constraints.txt").read_text().splitlines()
PACKAGES = ("env", "agents", "alignment", "social_jepa")


def canonical(name: str) -> str:
    """Return the canonical name of a distribution: tomli-w for tomli_w."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(line: str) -> str:
    return canonical(re.match(r"[\w.-]+", line)[0])


def test_every_folder_with_code_is_installed():
    folders = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    expected = {".".join(folder.relative_to(ROOT).parts) for folder in folders}

    assert expected <= set(INSTALLED)


def test_every_installed_package_is_a_folder_with_an_init_file():
    folders = [ROOT / name.replace(".", "/") for name in INSTALLED]

    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_the_project_cannot_be_uploaded_to_a_public_index():
    assert "Private :: Do Not Upload" in PROJECT["project"]["classifiers"]


@pytest.mark.parametrize("line", PINS)
def test_a_pin_is_a_name_and_a_version(line):
    """No host and no hash: any mirror can serve it."""
    assert re.fullmatch(r"[A-Za-z0-9][\w.-]*==[0-9][\w.]*", line)


def test_every_dependency_is_pinned():
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = {
        requirement_name(line) for lines in [PROJECT["project"]["dependencies"], *extras] for line in lines
    }
    pinned = {requirement_name(line) for line in PINS}

    assert wanted - pinned == {"social-jepa"}


def test_make_help_lists_every_target():
    listing = subprocess.run(["make", "-C", ROOT, "help"], capture_output=True, text=True, check=True).stdout
    offered = set(re.findall(r"^make (\w+) ", listing, re.MULTILINE))
    defined = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {"demo", "test", "fuzz", "lint", "docs", "bench", "soak", "evidence", "setup", "clean"} == offered
    assert offered <= defined


def test_ci_runs_make_test():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()

    assert lines[-1] == "make test"
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100


def test_the_cluster_file_has_only_keys_that_ray_knows():
    ray = Path(find_spec("ray").origin).parent
    schema = json.loads((ray / "autoscaler" / "ray-schema.json").read_text())

    jsonschema.validate(yaml.safe_load((ROOT / "cluster.yaml").read_text()), schema)


def test_the_cluster_gets_every_package():
    mounts = yaml.safe_load((ROOT / "cluster.yaml").read_text())["file_mounts"]

    assert set(PACKAGES) <= set(mounts.values())
    assert all((ROOT / source).exists() for source in mounts.values() if not source.startswith("~"))


def test_every_start_of_ray_in_the_cluster_sets_its_authentication():
    cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    commands = cluster["head_start_ray_commands"] + cluster["worker_start_ray_commands"]

    assert all("RAY_AUTH_MODE=token" in command for command in commands if "ray start" in command)


def test_every_worker_joins_the_cluster():
    """Ray's second autoscaler counts the head among the workers of a provider of type local."""
    cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    (head,) = cluster["head_start_ray_commands"]

    assert cluster["provider"]["type"] == "local"
    assert head.index("RAY_enable_autoscaler_v2=0 ") < head.index("ray start")
