import contextlib
import errno
import json
import shutil

import pytest
import torch

from agents.agent import Agent
from agents.common.config_error import ConfigError
from agents.restoring import restore_agent
from social_jepa.config.run_config import load_config
from social_jepa.graph.results import load_results
from social_jepa.graph.summary import summarize
from social_jepa.records import replace
from social_jepa.runtime.continuation import NoCheckpointError, change_settings, continued_config, fork_run
from social_jepa.runtime.members import member_spec
from social_jepa.runtime.membership import Membership, record_start
from social_jepa.runtime.run_list import describe_run
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder
from social_jepa.storage.run_folder_errors import RunFolderInUseError
from tests.support.command import call


@pytest.fixture
def source(small_run, tmp_path):
    """A copy of the small run, which a test may change."""
    return RunFolder.at(shutil.copytree(small_run.folder.path, tmp_path / "source"))


@contextlib.contextmanager
def agent_of(folder, name):
    """An agent of a run folder as its process would build it, with its checkpoint loaded."""
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        members = {member.name: member for member in ledger.members()}
        agent = Agent(member_spec(folder.config(), members[name], ledger.bodies(), folder))
    with contextlib.closing(agent):
        restore_agent(agent)
        yield agent


def test_a_fork_without_changes_publishes_the_model_of_its_source(small_run, source, tmp_path):
    folder = fork_run(source, tmp_path / "fork")
    with agent_of(folder, "agent-1") as agent:
        assert (agent.trainer.step, agent.trainer.finished, agent.published) == (60, True, None)
        snapshot = agent.publish()

    expected = small_run.pools("agent-1")
    assert torch.equal(snapshot.pools.heldout.vectors, expected.heldout.vectors)
    assert snapshot.pools.heldout.ids == expected.heldout.ids


def test_a_fork_with_a_longer_schedule_trains_the_steps_that_are_left(source, tmp_path):
    before = len((source.agent("agent-0") / "checkpoint.safetensors").read_bytes())
    folder = fork_run(source, tmp_path / "fork", ["training.steps=66"])
    with agent_of(folder, "agent-0") as agent:
        assert (agent.trainer.step, agent.stage_steps) == (60, None)
        agent.train()
        assert (agent.trainer.step, agent.trainer.steps_this_process) == (66, 6 + agent.stage_steps)

    with agent_of(folder, "agent-0") as agent:
        assert (agent.trainer.step, agent.trainer.finished) == (66, True)
        assert agent.stage_steps is not None
    assert len((source.agent("agent-0") / "checkpoint.safetensors").read_bytes()) == before


def test_a_fork_has_the_members_and_bodies_of_its_source_as_they_are_now(source, tmp_path):
    with contextlib.closing(Ledger(source.ledger_file)) as ledger:
        moved = replace(ledger.members()[1], pose="3.4,3.2,3.4,135,-35,60", pose_version=1)
        ledger.change(moved, "moved", [])
        ledger.change(ledger.members()[0], "left", [], departed=True)
        expected, bodies = ledger.members(), ledger.bodies()

    folder = fork_run(source, tmp_path / "fork")
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        membership = Membership(folder.config(), folder, ledger, online=False)
        assert ledger.agents() == {}
    assert list(membership.members.values()) == expected
    assert membership.bodies == bodies
    assert "agent-0" not in membership.members
    assert describe_run(folder.path).reason == f"forked from {source.path}"


REFUSED = {
    "seed=3": "another scene or model",
    "scene.objects=2": "another scene or model",
    "model.dim=6": "another scene or model",
    "agents.count=5": "another scene or model",
    "negotiation.pool_ticks=256": "among those that agents have trained on",
    "negotiation.pool_stride=8": "among those that agents have trained on",
    "training.own_ticks=true": "recorded other ticks already",
    "training.stepz=3": "did you mean training.steps",
    "training.steps=0": "training.steps",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_what_a_checkpoint_cannot_continue_with_is_refused_and_changes_nothing(source, tmp_path, setting):
    files = {path: path.stat().st_mtime_ns for path in source.path.rglob("*")}

    with pytest.raises(ConfigError, match=REFUSED[setting]):
        fork_run(source, tmp_path / "fork", [setting])
    said = call("resume", "--run", source.path, setting)

    assert said.status == 2
    assert REFUSED[setting] in said.err
    assert not (tmp_path / "fork").exists()
    after = {path: path.stat().st_mtime_ns for path in source.path.rglob("*")}
    assert {path.name for path in after.keys() ^ files.keys()} <= {".lock", ".command.lock"}
    changed = {path.name for path in files if path.is_file() and after[path] != files[path]}
    assert changed <= {".lock", ".command.lock"}


def test_the_schedule_of_a_student_stays(small_run):
    config = small_run.config

    with pytest.raises(ConfigError, match="agent-2 has learned from a teacher"):
        continued_config(config, ["training.steps=90"], ["agent-2"])
    assert continued_config(config, ["training.learning_rate=0.001"], ["agent-2"]).training.steps == 60


def test_settings_that_can_change_are_those_of_the_new_run(source, tmp_path):
    settings = ["training.learning_rate=0.001", "negotiation.anchors=16", "agents.threads=2", "agents.nice=5"]
    folder = fork_run(source, tmp_path / "fork", settings)

    expected = load_config(source.config_file, settings)
    assert folder.config() == expected
    assert source.config() != expected


def test_a_run_without_checkpoints_is_not_forked(source, tmp_path):
    (source.agent("agent-2") / "checkpoint.safetensors").unlink()

    with pytest.raises(NoCheckpointError, match=r"^agent-2 has saved no checkpoint in"):
        fork_run(source, tmp_path / "fork")
    assert not (tmp_path / "fork").exists()


def test_a_run_with_changed_settings_can_be_resumed_and_publishes_again(source):
    change_settings(source, ["training.steps=70"])

    assert source.config().training.steps == 70
    with contextlib.closing(Ledger(source.ledger_file)) as ledger:
        record_start(ledger, source.config(), source, "resumed", online=False)  # refuses other settings
        assert len(ledger.agents()) == 4  # what was published before stays in the ledger
    with agent_of(source, "agent-3") as agent:
        assert (agent.published, agent.trainer.finished) == (None, False)


def test_turns_are_refused_for_a_simulation_before_anything_changes(source):
    with contextlib.closing(Ledger(source.ledger_file)) as ledger:
        ledger.event("started", config=source.config().hash(), online=True)
    published = sorted(source.path.rglob("published.safetensors"))

    with pytest.raises(ConfigError, match="agents that take turns cannot stay up"):
        change_settings(source, ["agents.workers=2"])

    assert source.config().agents.workers == 0
    assert sorted(source.path.rglob("published.safetensors")) == published != []
    with contextlib.closing(Ledger(source.ledger_file)) as ledger:
        assert len(ledger.events_of("started")) == 2


def test_a_fork_that_finds_no_room_leaves_no_folder(source, tmp_path, monkeypatch):
    copied = []

    def copy(*paths):
        copied.append(paths)
        if len(copied) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", copy)
    with pytest.raises(OSError, match="No space left"):
        fork_run(source, tmp_path / "fork")

    assert len(copied) == 2
    assert not (tmp_path / "fork").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="No space left"):
        fork_run(source, tmp_path / "link")
    assert list((tmp_path / "mine").iterdir()) == []  # what was there before stays


def test_settings_that_are_as_before_change_nothing(source):
    change_settings(source, ["training.steps=60"])

    with agent_of(source, "agent-3") as agent:
        assert agent.published is not None


RING = {(f"agent-{i}", f"agent-{j}") for i in range(4) for j in range(4) if (i - j) % 4 in (1, 3)}


def set_topology(folder, topology):
    """Change the topology as the verb does, while the simulation is up."""
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        return Membership(folder.config(), folder, ledger, online=True).set_topology(topology)


def test_edges_of_pairs_that_another_topology_does_not_pair_end(source):
    began = load_results(source.path).document
    change_settings(source, ["negotiation.topology=ring"])

    document = load_results(source.path).document
    assert (began.topology, document.topology) == ("all", "ring")
    assert {(edge.source, edge.target) for edge in document.edges} == RING
    summary = summarize(document)
    assert summary.pairs == 8 == summary.high + summary.middle + summary.low + summary.unmapped
    assert min(summary.high, summary.middle, summary.low, summary.unmapped) >= 0
    with contextlib.closing(Ledger(source.ledger_file)) as ledger:
        (event,) = ledger.events_of("topology")
        assert str(ledger.topology(source.config().negotiation.topology, event.time - 1)) == "all"


def test_a_topology_that_was_set_while_up_stays_until_another_one_is_asked_for(source, tmp_path):
    assert set_topology(source, "ring") == 8

    change_settings(source, ["training.steps=70"])
    assert source.config().negotiation.topology == "ring"
    assert fork_run(source, tmp_path / "fork").config().negotiation.topology == "ring"
    change_settings(source, ["negotiation.topology=all"])
    assert source.config().negotiation.topology == "all"
    with contextlib.closing(Ledger(source.ledger_file)) as ledger:
        assert str(Membership(source.config(), source, ledger, online=True).topology) == "all"


def test_the_topology_of_the_settings_replaces_one_that_was_set_while_up(source):
    set_topology(source, "ring")

    change_settings(source, ["negotiation.topology=all"])

    with contextlib.closing(Ledger(source.ledger_file)) as ledger:
        assert str(Membership(source.config(), source, ledger, online=True).topology) == "all"
        record_start(ledger, source.config(), source, "resumed", online=True)


def test_a_change_that_was_interrupted_is_completed_by_the_same_command(source, monkeypatch):
    def fail(*_):
        raise OSError("No space left")

    with monkeypatch.context() as patched:
        patched.setattr("social_jepa.runtime.continuation.write_atomically", fail)
        with pytest.raises(OSError, match="No space left"):
            change_settings(source, ["negotiation.topology=ring"])
    assert source.config().negotiation.topology == "all"

    change_settings(source, ["negotiation.topology=ring"])

    assert source.config().negotiation.topology == "ring"
    with contextlib.closing(Ledger(source.ledger_file)) as ledger:
        record_start(ledger, source.config(), source, "resumed", online=False)


def test_settings_that_were_edited_by_hand_are_not_taken_for_those_of_the_run(source):
    text = source.config_file.read_text()
    assert "steps = 60" in text
    source.config_file.write_text(text.replace("steps = 60", "steps = 61"))

    change_settings(source, ["training.steps=61"])

    assert (source.agent("agent-0") / "published.safetensors").exists()
    with (
        contextlib.closing(Ledger(source.ledger_file)) as ledger,
        pytest.raises(ConfigError, match="differs"),
    ):
        record_start(ledger, source.config(), source, "resumed", online=False)


def test_settings_of_a_run_in_which_a_process_runs_are_not_changed(source):
    lock = source.acquire_lock()
    with pytest.raises(RunFolderInUseError):
        change_settings(source, ["training.steps=70"])
    lock.release()

    assert source.config().training.steps == 60


def test_the_command_names_the_new_run_and_how_to_go_on(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    said = call("fork", "--run", "source", "--out", "runs/longer", "training.steps=80")
    assert (said.status, said.err) == (0, "")
    assert said.out.splitlines()[1].split(maxsplit=1) == ["continue", "social-jepa resume --run runs/longer"]

    said = call("fork", "--run", "source", "--out", "runs/longer")
    assert said.status == 2
    assert "choose another --out" in said.err
    document = json.loads(call("fork", "--run", "source", "--json").out)
    assert RunFolder.at(document["run"]).config() == source.config()
