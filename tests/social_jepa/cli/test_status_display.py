"""What `status` prints of a simulation while it is watched, and while its supervisor does not answer."""

import json

from social_jepa.cli import status_display
from social_jepa.records import as_dict, replace
from tests.support.command import call, spawn
from tests.support.planted_run import planted_run
from tests.support.statuses import AGENT
from tests.support.supervisors import supervised

AGENTS = (AGENT, replace(AGENT, name="agent-1"))


def test_a_watch_as_json_prints_a_document_on_each_line_until_the_simulation_is_down(tmp_path):
    folder = planted_run(tmp_path / "run", 2)
    with supervised(folder, AGENTS):
        watching = spawn(tmp_path, "status", "--run", folder.path, "--watch", "--json")
        documents = [json.loads(watching.stdout.readline()) for _ in range(2)]
    _, err = watching.communicate(timeout=60)

    expected = {
        "run": str(folder.path), "agents": [as_dict(agent) for agent in AGENTS], "trouble": "",
        "anchor_seed": None,
    }  # fmt: skip
    assert documents == [json.loads(json.dumps(expected))] * 2
    assert (watching.returncode, err) == (0, f"social-jepa: {folder.path} is not up\n")


def test_without_an_answer_the_ledger_has_the_agents_and_the_exit_status_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(status_display, "STATUS_TIMEOUT", 0.2)
    folder = planted_run(tmp_path / "run", 2)
    with supervised(folder, AGENTS) as supervisor:
        supervisor.hangs.set()
        said = call("status", "--run", folder.path, "--json")

    found = json.loads(said.out)
    assert said.status == 1
    assert [agent["phase"] for agent in found["agents"]] == ["unknown", "unknown"]
    assert found["trouble"].startswith("the supervisor of the simulation does not answer")
