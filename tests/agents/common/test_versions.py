import importlib.metadata
import sys

from agents.common.versions import differences, process_versions


def test_a_process_states_the_versions_of_python_the_project_torch_and_ray():
    found = process_versions()

    assert list(found) == ["python", "social-jepa", "torch", "ray"]
    assert found["torch"] == importlib.metadata.version("torch")
    assert found["python"] == sys.version.split()[0]
    version, _, source = found["social-jepa"].partition("+")
    assert version == importlib.metadata.version("social-jepa")
    assert len(source) == 8


def test_only_versions_that_differ_are_named():
    own = {"torch": "2.6.0", "ray": "2.60.0"}

    assert differences(own, dict(own)) == ""
    assert differences(own, {"torch": "2.5.1", "ray": "2.60.0"}) == "torch 2.5.1 (here 2.6.0)"
    assert differences(own, {"torch": "2.6.0"}) == "ray unknown (here 2.60.0)"
