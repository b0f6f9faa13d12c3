import ast
import json
import shlex
from importlib import metadata
from pathlib import Path

import pytest

from social_jepa.system import cluster_checks
from social_jepa.system.cluster_checks import Promise, check_cluster, find_promise
from social_jepa.system.probe import ProbeError

ROOT = Path(__file__).resolve().parents[3]
HERE = {name: metadata.version(name) for name in cluster_checks.PACKAGES}
PROMISE = Promise(
    Path("cluster.yaml"),
    3,
    ("10.0.0.1", "10.0.0.2", "10.0.0.3"),
    "ssh me@",
    "ray start --address=$RAY_HEAD_IP:1",
)


def node(address, alive=True, **values):
    return {"address": address, "host": f"host-{address[-1]}", "id": address, "alive": alive, "cpus": 4.0,
            "gpus": 1.0, "versions": HERE} | values  # fmt: skip


def checked(nodes, promise=None, address="auto"):
    def probe(code, *arguments, seconds):
        return json.dumps(nodes)

    return list(check_cluster(address, probe, lambda _: True, promise or Promise(Path("none"), 0)))


def test_the_nodes_and_what_runs_on_each_are_listed():
    cluster, first, second = checked([node("10.0.0.1"), node("10.0.0.2")])

    assert cluster.ok
    assert "2 nodes, 8 CPUs, 2 GPUs" in cluster.found
    assert (first.name, second.name) == ("node 10.0.0.1", "node 10.0.0.2")
    assert f"host-1, 4 CPUs, 1 GPUs, social-jepa {HERE['social-jepa']}, ray {HERE['ray']}" in first.found


def test_a_promised_node_that_has_not_joined_fails_with_the_line_that_starts_it():
    nodes = [node("10.0.0.1"), node("10.0.0.3", alive=False), node("10.0.0.2")]
    cluster = checked(nodes, PROMISE)[0]

    assert not cluster.ok
    assert "2 nodes" in cluster.found
    assert "1 left of 3 in cluster.yaml; missing: 10.0.0.3" in cluster.found
    words = shlex.split(cluster.remedy.partition("by hand: ")[2])
    assert words[:2] == ["ssh", "me@10.0.0.3"]
    assert shlex.split(words[2])[-1] == "export RAY_HEAD_IP=10.0.0.1; ray start --address=$RAY_HEAD_IP:1"


def test_the_file_of_another_cluster_promises_nothing():
    (cluster, *_) = checked([node("10.9.9.9")], PROMISE)

    assert cluster.ok
    assert "cluster.yaml" not in cluster.found


def test_nodes_of_one_machine_have_names_of_their_own():
    _, first, second = checked([node("10.0.0.1", id="abcdef00"), node("10.0.0.1", id="12345678")])

    assert (first.name, second.name) == ("node 10.0.0.1 abcdef", "node 10.0.0.1 123456")


def test_a_cluster_without_any_node_alive_fails():
    assert not checked([node("10.0.0.1", alive=False)])[0].ok
    assert not checked([])[0].ok


@pytest.mark.parametrize(
    ("values", "text", "remedy"),
    [
        ({"versions": {**HERE, "ray": "2.9.0"}}, "ray 2.9.0", f"ray {HERE['ray']}"),
        ({"versions": {**HERE, "social-jepa": ""}}, "social-jepa not installed", "pip install"),
        ({"versions": None}, "no answer within 18 s", "try again"),
        ({"versions": None, "error": "the node died"}, "the node died", "raylet.out"),
    ],
)
def test_a_node_with_other_versions_or_without_an_answer_fails(values, text, remedy):
    _, found = checked([node("10.0.0.1", **values)])

    assert not found.ok
    assert text in found.found
    assert remedy in found.remedy


def test_an_error_without_text_is_named_by_its_class():
    """The probe is the source of a program of its own; of it this function alone is run here."""
    (function,) = [
        node for node in ast.parse(cluster_checks.CLUSTER_PROBE).body
        if isinstance(node, ast.FunctionDef) and node.name == "last_line"
    ]  # fmt: skip
    found = {}
    exec(compile(ast.Module([function], []), "probe", "exec"), found)

    assert found["last_line"](ValueError()) == "ValueError"
    assert found["last_line"](ValueError("one\ntwo\n")) == "two"


def test_a_port_where_nothing_listens_is_not_joined():
    (check,) = check_cluster("10.0.0.1:6379", lambda *_, **__: pytest.fail("joined"), lambda _: False)

    assert (check.ok, check.found) == (False, "10.0.0.1:6379 does not answer")
    assert "unset RAY_ADDRESS" in check.remedy


@pytest.mark.parametrize("reason", ["no answer within 20 seconds", "Could not find any running Ray instance"])
def test_a_cluster_that_cannot_be_joined_fails_with_the_reason(reason):
    def probe(code, *arguments, seconds):
        raise ProbeError(reason)

    (check,) = check_cluster("auto", probe)
    assert not check.ok
    assert reason in check.found
    assert "ray start --head" in check.remedy


def test_what_the_launcher_was_asked_for_is_read_from_its_file(tmp_path):
    assert find_promise((tmp_path, tmp_path)) is None

    promise = find_promise((tmp_path, ROOT))
    assert promise.file == ROOT / "cluster.yaml"
    assert promise.count == len(promise.addresses) == 3
    assert "ray start --address=$RAY_HEAD_IP:6379" in promise.join
    assert promise.ssh == "ssh ubuntu@"


CLOUD = """
provider: {type: aws}
available_node_types: {head: {}, small: {min_workers: 2}, large: {min_workers: 1}}
worker_start_ray_commands: [ray start --address=$RAY_HEAD_IP:6379]
"""


def test_a_cloud_promises_a_number_of_nodes(tmp_path):
    (tmp_path / "ray_bootstrap_config.yaml").write_text(CLOUD)
    promise = find_promise((tmp_path, ROOT))

    assert (promise.count, promise.addresses) == (4, ())
    assert "2 nodes" in checked([node("10.0.0.1"), node("10.0.0.2")], promise)[0].found
    assert not checked([node("10.0.0.1"), node("10.0.0.2")], promise)[0].ok


@pytest.mark.parametrize("text", ["{", "a list", "provider: {}", "provider: {head_ip: 1}"])
def test_another_yaml_file_promises_nothing(tmp_path, text):
    (tmp_path / "cluster.yaml").write_text(text)

    assert find_promise((tmp_path, tmp_path)) is None


@pytest.mark.ray
def test_a_real_cluster_is_joined_in_a_process_of_its_own(ray_local, monkeypatch):
    import ray

    monkeypatch.setattr(cluster_checks, "CLUSTER_SECONDS", 240.0)  # the machine may have much else to do
    monkeypatch.setattr(cluster_checks, "ANSWER_SECONDS", 200.0)
    address = ray.get_runtime_context().gcs_address
    checks = list(check_cluster(address, promise=Promise(Path("none"), 0)))

    assert checks[0].ok, checks
    assert "1 node, 2 CPUs" in checks[0].found
    assert f"ray {HERE['ray']}" in checks[1].found or "no answer" in checks[1].found  # on a busy machine
