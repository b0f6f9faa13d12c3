import contextlib
from dataclasses import replace

import pytest

from agents.snapshot import AgentSnapshot
from social_jepa.config.run_config import load_config
from social_jepa.graph.records import replace as replace_record
from social_jepa.runtime.membership import MembershipError, UnknownMemberError, new_member
from social_jepa.runtime.registry import LEAD_TICKS, Registry
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import create
from tests.support.ledger_rows import edge

CONFIG = load_config(overrides=["scene.renderer=toy", "agents.count=3"])
POSE = "-4.8,3.2,0,0,-35"


@pytest.fixture
def folder(tmp_path):
    return create(CONFIG, tmp_path / "run")


@pytest.fixture
def ledger(folder):
    with contextlib.closing(Ledger(folder.ledger_file, create=True)) as opened:
        yield opened


@pytest.fixture
def registry(folder, ledger):
    return Registry(CONFIG, folder, ledger, online=True)


def enter(registry, reach=0, **wanted):
    """Let somebody in, as far as its first sign of life."""
    present = [*registry.members.values(), *registry.pending.values()]
    member = new_member(CONFIG, present, registry.taken_names(), **wanted)
    registry.pending[member.name] = member
    registry.next_incarnation(member.name)
    registry.admit(member.name, reach)
    return member.name


def test_a_registry_that_comes_back_knows_who_is_there_in_which_life_and_where(folder, ledger, registry):
    enter(registry, pose=POSE, settings=["model.dim=8"], teacher="agent-1")
    for name in ("agent-0", "agent-0", "agent-1"):
        registry.next_incarnation(name)
    registry.move("agent-2", POSE, 100)
    registry.remove("agent-1", 200)

    again = Registry(CONFIG, folder, ledger, online=True)

    assert again.members == registry.members
    assert again.incarnations == registry.incarnations == {"agent-0": 2, "agent-2": 0, "agent-3": 1}
    assert again.bodies == registry.bodies
    assert [again.spec(name, 1) for name in again.members] == [
        registry.spec(name, 1) for name in again.members
    ]


def test_rolls_are_numbered_upwards_also_when_the_registry_comes_back(folder, ledger, registry):
    numbers = [registry.peer_list({})["version"]]
    for change in (
        lambda: registry.next_incarnation("agent-0"),
        lambda: registry.move("agent-0", POSE, 0),
        lambda: enter(registry),
        lambda: registry.remove("agent-1", 0),
    ):
        change()
        numbers.append(registry.peer_list({})["version"])
    numbers.append(Registry(CONFIG, folder, ledger, online=True).peer_list({})["version"])

    assert len(set(numbers)) == 6
    assert numbers == sorted(numbers)


def test_a_roll_names_those_who_live_and_can_be_reached(registry):
    registry.next_incarnation("agent-0")
    registry.next_incarnation("agent-1")

    roll = registry.peer_list({"agent-0": "a handle", "agent-2": "one that has not enlisted"})

    assert roll["handles"] == {"agent-0": "a handle"}
    assert roll["incarnations"] == {"agent-0": 1}
    assert [event.name for event in roll["body_events"]] == ["agent-0", "agent-1", "agent-2"]


def test_a_newcomer_changes_nothing_of_the_others_but_the_bodies(registry):
    before = {name: registry.spec(name, 1) for name in registry.members}
    enter(registry, settings=["model.dim=8", "training.steps=7", "agents.threads=3"], kind="jepa")

    for name, spec in before.items():
        after = registry.spec(name, 1)
        assert replace(after, events=()) == replace(spec, events=())
        assert after.events[:3] == spec.events
    new = registry.spec("agent-3", 1)
    assert (new.model.dim, new.training.steps, new.threads, new.online) == (8, 7, 3, True)
    assert new.negotiation == before["agent-0"].negotiation
    assert (new.index, new.seed) == (3, before["agent-0"].seed)


@pytest.mark.parametrize("reach", [0, 7, 10**9])
def test_a_body_appears_moves_and_leaves_at_ticks_that_no_camera_has_come_to(registry, reach):
    name = enter(registry, reach=reach)
    registry.move(name, POSE, reach + 1)
    registry.remove(name, reach + 2)

    ticks = [tick for tick, who, _ in registry.bodies if who == name]
    poses = [pose for _, who, pose in registry.bodies if who == name]
    assert all(tick >= reach + LEAD_TICKS for tick in ticks)
    assert ticks == sorted(set(ticks))
    assert poses[-1] is None
    assert None not in poses[:-1]


def test_nobody_who_is_only_on_the_way_is_written_down(registry, ledger):
    member = new_member(CONFIG, registry.members.values(), registry.taken_names())
    registry.pending[member.name] = member
    assert registry.next_incarnation("agent-3") == 1
    assert registry.spec("agent-3", 2).threads == 2
    assert "agent-3" not in registry.peer_list({"agent-3": "a handle"})["handles"]
    registry.reject("agent-3")

    assert ledger.names() == ["agent-0", "agent-1", "agent-2"]
    assert "agent-3" not in registry.incarnations
    assert enter(registry) == "agent-3"


def test_one_who_is_on_the_way_stays_so_whatever_the_others_do(registry):
    member = new_member(CONFIG, registry.members.values(), registry.taken_names())
    registry.pending[member.name] = member
    registry.next_incarnation(member.name)
    enter(registry)
    registry.move("agent-0", POSE, 0)
    registry.remove("agent-1", 0)

    assert registry.incarnations["agent-3"] == 1
    registry.admit("agent-3", 0)
    assert {name: member.index for name, member in registry.members.items()} == {
        "agent-0": 0, "agent-2": 2, "agent-3": 3, "agent-4": 4,
    }  # fmt: skip


def test_two_on_the_way_never_share_a_number_though_one_is_turned_away(registry):
    for _ in range(2):
        present = [*registry.members.values(), *registry.pending.values()]
        member = new_member(CONFIG, present, registry.taken_names())
        registry.pending[member.name] = member
        registry.next_incarnation(member.name)
    registry.reject("agent-3")
    enter(registry)
    registry.admit("agent-4", 0)

    numbers = [member.index for member in registry.members.values()]
    assert len(numbers) == len(set(numbers)) == 5


def test_a_life_that_a_newcomer_lost_before_it_was_written_down_counts(registry):
    member = new_member(CONFIG, registry.members.values(), registry.taken_names())
    registry.pending[member.name] = member
    assert [registry.next_incarnation("agent-3") for _ in range(2)] == [1, 2]
    registry.admit("agent-3", 0)

    assert registry.incarnations["agent-3"] == 2
    assert registry.next_incarnation("agent-3") == 3


def test_a_move_begins_another_era_and_only_that(registry):
    before = registry.spec("agent-1", 1)
    registry.move("agent-1", POSE, 50)
    after = registry.spec("agent-1", 1)

    assert (after.pose_version, after.pose.x) == (1, -4.8)
    assert replace(after, pose_version=0, pose=before.pose, events=()) == replace(before, events=())
    assert registry.move("agent-1", POSE, 60).pose_version == 2


@pytest.mark.parametrize(
    ("name", "pose", "sentence"),
    [("agent-7", POSE, "no agent is named 'agent-7': did you mean agent-"),
     ("agent-0", "4.8,3.2,0,0,-35", "the camera sees nothing"),
     ("agent-0", "0,0.4,0,0,0", "objects can reach the camera"),
     ("agent-0", "here", "a pose is written x,y,z,yaw,pitch")],
)  # fmt: skip
def test_a_move_that_cannot_be_is_a_sentence_and_changes_nothing(registry, ledger, name, pose, sentence):
    members, version = dict(registry.members), ledger.version()

    with pytest.raises(ValueError, match=sentence):
        registry.move(name, pose, 0)

    assert (registry.members, ledger.version()) == (members, version)


def test_an_agent_that_glances_is_not_turned_where_its_glances_cannot_go(registry):
    looking = ("model.seq_jepa.temporal_weight=1.0", "model.seq_jepa.readout_dim=4")
    registry.members["agent-0"] = replace_record(
        registry.members["agent-0"], kind="seq_jepa", settings=looking
    )

    with pytest.raises(ValueError, match="lower max_view_angle to 9 or less"):
        registry.move("agent-0", "2,3.2,0,180,-80", 0)
    assert registry.members["agent-0"].pose_version == 0


def test_who_leaves_ends_its_edges_with_a_tombstone_once(registry, ledger):
    pairs = (("agent-0", "agent-1"), ("agent-1", "agent-2"), ("agent-2", "agent-0"))
    ledger.record(edges=[edge(source=source, target=target) for source, target in pairs])
    registry.remove("agent-1", 0)
    registry.remove("agent-2", 0)

    ends = {(e.source, e.target): (e.status, e.reason) for e, _ in ledger.edges()}
    assert ends == {
        ("agent-0", "agent-1"): ("ended", "agent-1 left"),
        ("agent-1", "agent-2"): ("ended", "agent-1 left"),
        ("agent-2", "agent-0"): ("ended", "agent-2 left"),
    }
    assert len(ledger.history("agent-1", "agent-2")) == 2


def test_the_last_agent_cannot_be_removed_and_a_stranger_neither(registry):
    with pytest.raises(
        UnknownMemberError, match="no agent is named 'bob': there are agent-0, agent-1, agent-2"
    ):
        registry.remove("bob", 0)
    registry.remove("agent-0", 0)
    registry.remove("agent-2", 0)
    with pytest.raises(MembershipError, match="agent-1 is the last agent: social-jepa down ends"):
        registry.remove("agent-1", 0)

    assert list(registry.members) == ["agent-1"]


def test_a_name_of_one_who_left_is_never_given_again(registry):
    registry.remove("agent-2", 0)

    assert enter(registry) == "agent-3"
    with pytest.raises(MembershipError, match="agent-2 was taken before, and its edges are in the ledger"):
        enter(registry, name="agent-2")


def test_the_registry_holds_no_embedding_no_map_and_no_weight(registry):
    kept = [*vars(registry).values(), *registry.members.values()]

    assert not any(isinstance(value, AgentSnapshot) or hasattr(value, "numpy") for value in kept)
