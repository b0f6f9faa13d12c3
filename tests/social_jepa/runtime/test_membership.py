import contextlib
import re
import time
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.protocol.verifier import KnownPeer
from agents.snapshot import AgentSnapshot
from alignment.status import Status
from env.camera import Pose
from social_jepa.config.run_config import load_config
from social_jepa.records import BodyRecord, MemberRecord, body_events, decode, encode
from social_jepa.records import replace as replace_record
from social_jepa.runtime import pairings
from social_jepa.runtime.member_errors import LastAgentError, NameTakenError, UnknownMemberError
from social_jepa.runtime.members import find_member, initial_members, member_spec, new_member
from social_jepa.runtime.membership import LEAD_TICKS, Membership
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import LedgerFullError, ReadOnlyLedgerError
from social_jepa.storage.partners import negotiating_pairs
from social_jepa.storage.run_folder import RunFolder, create
from tests.support.ledger_rows import agent, edge

CONFIG = load_config(overrides=["scene.renderer=toy", "agents.count=3"])
PRESENT = initial_members(CONFIG)
TAKEN = [member.name for member in PRESENT]
POSE = "-4.8,3.2,0,0,-35"
KEY = bytes(range(32))

REFUSED = {
    "a name with a space": ({"name": "a b"}, "'a b' is not a valid name: up to 64 letters"),
    "a name that is a path": ({"name": "../x"}, "'../x' is not a valid name"),
    "the name of the parent folder": ({"name": ".."}, "'..' is not a valid name"),
    "a name that is too long": ({"name": "x" * 65}, "up to 64 letters"),
    "a name of two lines": ({"name": "a\n"}, "is not a valid name"),
    "the name of the supervisor": (
        {"name": "supervisor"},
        "supervisor is reserved",
    ),
    "a name that is taken": ({"name": "agent-1"}, "the name agent-1 exists: choose another"),
    "no pose": ({"pose": "here"}, "a pose is written x,y,z,yaw,pitch"),
    "a pose with nan": ({"pose": "nan,3,0,0,-35"}, "must be a finite number"),
    "a pose without objects in view": ({"pose": "4.8,3.2,0,0,-35"}, "the camera sees nothing"),
    "a pose that objects can reach": ({"pose": "0,0.4,0,0,0"}, "raise y above"),
    "a pose under the floor": ({"pose": "4.8,-1,0,180,35"}, "raise y above 0"),
    "an unknown kind": ({"kind": "jepaa"}, "did you mean 'jepa'?"),
    "an unknown teacher": ({"teacher": "agent-9"}, "no agent is named 'agent-9': did you mean agent-"),
    "a teacher with another name": ({"teacher": "bob"}, "choose one of agent-0, agent-1, agent-2"),
    "a setting of the scene": ({"settings": ["scene.objects=2"]}, "must be the same for all agents"),
    "a setting of the negotiation": (
        {"settings": ["negotiation.anchors=8"]},
        "must be the same for all agents",
    ),
    "the seed": ({"settings": ["seed=3"]}, "must be the same for all agents"),
    "an unknown setting": ({"settings": ["model.dimm=3"]}, "did you mean model.dim?"),
    "a setting without a value": ({"settings": ["model.dim"]}, "key.sub=value"),
    "a setting that cannot work": ({"settings": ["model.dim=0"]}, "choose from 1 to 1024"),
    "too few ticks to distill": ({"settings": ["distillation.ticks=8"]}, "choose from 64"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_request_to_join_that_cannot_be_met_is_refused_in_one_line(case):
    request, sentence = REFUSED[case]

    with pytest.raises(ValueError, match=re.escape(sentence)) as refusal:
        new_member(CONFIG, PRESENT, TAKEN, **request)

    assert "\n" not in str(refusal.value).replace("\\n", "")


def test_a_joiner_gets_a_free_name_and_the_next_place_on_the_ring_by_default():
    first = new_member(CONFIG, PRESENT, TAKEN)
    second = new_member(CONFIG, PRESENT, ["agent-0", "agent-3", "agent-1"])

    assert (first.name, first.index, first.kind, first.settings) == ("agent-3", 3, "jepa", ())
    assert first.pose == str(load_config(overrides=["agents.count=4"]).pose(3))
    assert second.name == "agent-4"


@given(st.lists(st.integers(0, 20), unique=True, max_size=12))
def test_a_free_name_is_always_found(numbers):
    present = [
        MemberRecord(name=f"agent-{k}", index=index, pose=PRESENT[0].pose, kind="jepa")
        for index, k in enumerate(numbers)
    ]
    taken = [member.name for member in present]

    found = new_member(CONFIG, present, taken)
    assert found.name not in taken
    assert found.index == len(numbers)


POSES = st.builds(
    Pose, *[st.floats(-100, 100)] * 4, st.floats(-89, 89), st.floats(1, 150)
)  # fmt: skip


@given(POSES)
def test_a_pose_survives_a_round_trip_through_text(pose):
    assert Pose.parse(str(pose)) == pose


def test_a_member_survives_json():
    member = MemberRecord(
        name="x", index=4, pose=PRESENT[0].pose, kind="jepa", settings=("model.dim=8",), teacher="agent-0",
        pose_version=2,
    )  # fmt: skip

    assert decode(encode(member), MemberRecord) == member
    assert decode(encode(PRESENT[0]), MemberRecord) == PRESENT[0]


def test_a_members_own_settings_take_precedence_over_those_of_the_run():
    settings = ("model.dim=8", "agents.device=cpu")
    member = MemberRecord(name="x", index=4, pose=PRESENT[0].pose, kind="jepa", settings=settings)

    own = member.config(CONFIG)
    assert (own.model.dim, own.agents.device) == (8, "cpu")
    assert own.scene == CONFIG.scene
    assert PRESENT[0].config(CONFIG) is CONFIG


def test_the_spec_of_an_agent_does_not_depend_on_the_number_of_agents():
    few, many = (load_config(overrides=["scene.renderer=toy", f"agents.count={count}"]) for count in (2, 7))
    specs = [
        member_spec(config, initial_members(config)[1], [], RunFolder(Path("run"))) for config in (few, many)
    ]

    assert specs[0] == specs[1]


def test_nobody_is_told_of_bodies_that_no_camera_sees(folder, ledger):
    config = load_config(overrides=["scene.renderer=toy", "agents.count=3", "scene.bodies=false"])
    membership = Membership(config, folder, ledger, online=True)
    assert len(membership.bodies) == 3
    assert membership.spec("agent-1", 1).events == ()
    assert membership.peer_list({}, "agent-1").body_events == ()


def test_body_records_become_events_of_the_scene():
    events = body_events([BodyRecord(0, "a", "1,2,3,4,5,60"), BodyRecord(9, "a", None)])

    assert [(event.tick, event.name, event.pose) for event in events] == [
        (0, "a", Pose(1, 2, 3, 4, 5, 60)), (9, "a", None),
    ]  # fmt: skip


def test_a_member_is_found_by_its_name():
    assert find_member(PRESENT, "agent-2") is PRESENT[2]


def test_a_joiners_settings_are_checked_at_its_own_pose_only():
    config = load_config(overrides=["scene.renderer=toy", "agents.kind=seq_jepa"])
    level = "6,0.5,0,180,0"  # the initial agents look down, and could not turn as far
    member = new_member(config, [], [], pose=level, settings=["model.seq_jepa.max_view_angle=80"])

    assert member.config(config).model.seq_jepa.max_view_angle == 80


@pytest.mark.parametrize(
    ("kinds", "usual"), [('["seq_jepa","seq_jepa"]', "seq_jepa"), ('["p_jepa","jepa"]', "jepa")]
)
def test_a_joiner_has_the_kind_of_the_other_agents_by_default(kinds, usual):
    config = load_config(overrides=["scene.renderer=toy", "agents.count=2", f"agents.kinds={kinds}"])

    assert new_member(config, [], []).kind == usual


@pytest.fixture
def folder(tmp_path):
    return create(CONFIG, tmp_path / "run")


@pytest.fixture
def ledger(folder):
    with contextlib.closing(Ledger(folder.ledger_file, create=True)) as opened:
        yield opened


@pytest.fixture
def membership(folder, ledger):
    return Membership(CONFIG, folder, ledger, online=True)


def full(*_, **__):
    raise LedgerFullError(Path("ledger.sqlite"), "no room")


def settle(ledger, source, target, published=True):
    """Record an edge between the newest models of two agents, and return it."""
    known = edge(source=source, target=target, source_checkpoint="a" * 16, target_checkpoint="b" * 16)
    agents = [agent(source, "a"), agent(target, "b")] if published else []
    ledger.record(agents, edges=[known], maps={(source, target): b"maps"})
    return known


def join(membership, next_tick=0, **request):
    """Propose a joiner, register it and admit it; return its name."""
    name = membership.propose(**request).name
    membership.next_incarnation(name)
    membership.admit(name, next_tick)
    return name


def test_a_restored_membership_has_the_same_members_incarnations_and_bodies(folder, ledger, membership):
    join(membership, pose=POSE, settings=["model.dim=8"], teacher="agent-1")
    for name in ("agent-0", "agent-0", "agent-1"):
        membership.next_incarnation(name)
    membership.move("agent-2", POSE, 100)
    membership.remove("agent-1", 200)

    again = Membership(CONFIG, folder, ledger, online=True)

    assert again.members == membership.members
    assert again.incarnations == membership.incarnations == {"agent-0": 2, "agent-2": 0, "agent-3": 1}
    assert again.bodies == membership.bodies
    assert [again.spec(name, 1) for name in again.members] == [
        membership.spec(name, 1) for name in again.members
    ]


def test_versions_of_peer_lists_increase_also_across_restarts(folder, ledger, membership):
    numbers = [membership.peer_list({}, "agent-0").version]
    for change in (
        lambda: membership.next_incarnation("agent-0"),
        lambda: membership.set_public_key("agent-0", KEY),
        lambda: membership.move("agent-0", POSE, 0),
        lambda: join(membership),
        lambda: membership.remove("agent-1", 0),
    ):
        change()
        numbers.append(membership.peer_list({}, "agent-0").version)
    numbers.append(Membership(CONFIG, folder, ledger, online=True).peer_list({}, "agent-0").version)

    assert len(set(numbers)) == 7
    assert numbers == sorted(numbers)


def test_versions_increase_though_the_clock_is_set_back(folder, ledger, membership, monkeypatch):
    for _ in range(5):
        membership.next_incarnation("agent-0")
    before, now = membership.peer_list({}, "agent-0").version, time.time_ns()
    for back in (3600, 7200):
        monkeypatch.setattr(time, "time_ns", lambda back=back: now - back * 10**9)
        after = Membership(CONFIG, folder, ledger, online=True).peer_list({}, "agent-0").version
        assert after > before
        before = after
    folder.version_file.write_text("damaged")
    assert Membership(CONFIG, folder, ledger, online=True).version > 0


def test_bodies_are_read_once_for_all_peer_lists(folder, ledger, membership, monkeypatch):
    first, second = (membership.peer_list({}, name).body_events for name in ("agent-0", "agent-1"))

    assert first is second
    membership.move("agent-0", POSE, 0)
    assert membership.peer_list({}, "agent-1").body_events[-1].name == "agent-0"


def test_a_peer_list_holds_the_registered_members_with_a_handle(membership):
    membership.next_incarnation("agent-0")
    membership.next_incarnation("agent-1")
    handles = {"agent-0": "a handle", "agent-2": "an unregistered handle"}
    assert membership.peer_list(handles, "agent-1").handles == {}  # no key yet
    for name in membership.members:
        membership.set_public_key(name, KEY)

    peer_list = membership.peer_list(handles, "agent-1")

    assert peer_list.handles == {"agent-0": "a handle"}
    assert peer_list.peers == {"agent-0": KnownPeer(KEY, 1)}
    assert [event.name for event in peer_list.body_events] == ["agent-0", "agent-1", "agent-2"]


def test_a_joiner_changes_only_the_bodies_of_other_specs(membership):
    before = {name: membership.spec(name, 1) for name in membership.members}
    join(membership, settings=["model.dim=8", "training.steps=7", "agents.threads=3"], kind="jepa")

    for name, spec in before.items():
        after = membership.spec(name, 1)
        assert replace(after, events=()) == replace(spec, events=())
        assert after.events[:3] == spec.events
    new = membership.spec("agent-3", 1)
    assert (new.model.dim, new.training.steps, new.threads, new.online) == (8, 7, 3, True)
    assert new.negotiation == before["agent-0"].negotiation
    assert (new.index, new.seed) == (3, before["agent-0"].seed)


@pytest.mark.parametrize("next_tick", [0, 7, 10**9])
def test_body_events_are_at_ticks_that_no_camera_has_rendered(membership, next_tick):
    name = join(membership, next_tick=next_tick)
    membership.move(name, POSE, next_tick + 1)
    membership.remove(name, next_tick + 2)

    ticks = [tick for tick, who, _ in membership.bodies if who == name]
    poses = [pose for _, who, pose in membership.bodies if who == name]
    assert all(tick >= next_tick + LEAD_TICKS for tick in ticks)
    assert ticks == sorted(set(ticks))
    assert poses[-1] is None
    assert None not in poses[:-1]


def test_a_pending_joiner_is_not_in_the_ledger(membership, ledger):
    membership.propose()
    assert membership.next_incarnation("agent-3") == 1
    assert membership.spec("agent-3", 2).threads == 2
    assert "agent-3" not in membership.peer_list({"agent-3": "a handle"}, "agent-0").handles
    membership.reject("agent-3")

    assert ledger.names() == ["agent-0", "agent-1", "agent-2"]
    assert "agent-3" not in membership.incarnations
    assert join(membership) == "agent-3"


def test_a_joiner_stays_pending_while_members_join_move_and_leave(membership):
    member = membership.propose()
    membership.next_incarnation(member.name)
    join(membership)
    membership.move("agent-0", POSE, 0)
    membership.remove("agent-1", 0)

    assert membership.incarnations["agent-3"] == 1
    membership.admit("agent-3", 0)
    assert {name: member.index for name, member in membership.members.items()} == {
        "agent-0": 0, "agent-2": 2, "agent-3": 3, "agent-4": 4,
    }  # fmt: skip


def test_two_pending_joiners_have_different_indices_though_one_is_rejected(membership):
    for _ in range(2):
        membership.next_incarnation(membership.propose().name)
    membership.reject("agent-3")
    join(membership)
    membership.admit("agent-4", 0)

    numbers = [member.index for member in membership.members.values()]
    assert len(numbers) == len(set(numbers)) == 5


def test_no_number_is_given_twice_though_those_of_the_departed_have_gaps(membership):
    rejected = membership.propose().name
    membership.next_incarnation(rejected)
    second = join(membership)
    membership.reject(rejected)
    membership.remove(second, 0)

    third = join(membership)

    assert (rejected, second, third) == ("agent-3", "agent-4", "agent-5")
    assert membership.members[third].index == 5


def test_incarnations_of_a_pending_joiner_count_after_it_is_admitted(membership):
    membership.propose()
    assert [membership.next_incarnation("agent-3") for _ in range(2)] == [1, 2]
    membership.admit("agent-3", 0)

    assert membership.incarnations["agent-3"] == 2
    assert membership.next_incarnation("agent-3") == 3


def test_a_move_changes_the_pose_and_its_version_alone(membership):
    before = membership.spec("agent-1", 1)
    membership.move("agent-1", POSE, 50)
    after = membership.spec("agent-1", 1)

    assert (after.pose_version, after.pose.x) == (1, -4.8)
    assert replace(after, pose_version=0, pose=before.pose, events=()) == replace(before, events=())
    assert membership.move("agent-1", POSE, 60).pose_version == 2


def test_a_pause_is_in_the_specification_and_outlives_the_supervisor(membership, ledger):
    assert membership.pause("agent-1", True) == ["agent-1"]
    assert membership.pause("", True) == ["agent-0", "agent-2"]
    assert membership.pause("agent-0", False) == ["agent-0"]
    again = Membership(membership.config, membership.folder, ledger, True)

    for each in (membership, again):
        assert [each.spec(name, 1).paused for name in each.members] == [False, True, True]
    with pytest.raises(UnknownMemberError):
        membership.pause("agent-9", True)


def register(membership, *names):
    for name in names:
        membership.next_incarnation(name)
        membership.set_public_key(name, KEY)
    return dict.fromkeys(names, "a handle")


def peers_of(membership, handles):
    return {name: set(membership.peer_list(handles, name).peers) for name in handles}


def test_a_topology_names_the_peers_of_each_agent_and_outlives_the_supervisor(membership, ledger):
    join(membership)
    join(membership)
    handles = register(membership, *membership.members)
    names = set(handles)
    assert peers_of(membership, handles) == {name: names - {name} for name in names}

    assert membership.set_topology("ring") == 10
    again = Membership(membership.config, membership.folder, ledger, True)
    for each in (membership, again):
        peers = peers_of(each, handles)
        assert peers["agent-0"] == {"agent-1", "agent-4"}
        assert peers["agent-2"] == {"agent-1", "agent-3"}
    with pytest.raises(ValueError, match="no topology"):
        membership.set_topology("star")


def test_a_teacher_outside_the_topology_is_a_peer_whose_edges_count_and_stay(membership, ledger):
    membership.set_topology("hubs(1)")
    student = join(membership, teacher="agent-2")
    names = list(membership.members)
    ledger.record(edges=[edge(source=a, target=b) for a, b in permutations(names, 2)])

    kept = membership.set_topology("hubs(1)")

    open_edges = {(e.source, e.target) for e, _ in ledger.edges() if e.status is not Status.ENDED}
    assert len(open_edges) == kept == 8  # three pairs with the hub, and the student with its teacher
    assert {(student, "agent-2"), ("agent-2", student)} <= open_edges
    assert ledger.missing_edges(names, "all") == set()


def test_edges_of_pairs_that_no_longer_negotiate_end_and_all_others_stay(membership, ledger):
    join(membership)
    names = list(membership.members)
    ledger.record(edges=[edge(source=a, target=b) for a, b in permutations(names, 2)])

    membership.set_topology("ring")

    ended = {(e.source, e.target) for e, _ in ledger.edges() if e.status is Status.ENDED}
    assert ended == {(names[a], names[b]) for a, b in ((0, 2), (2, 0), (1, 3), (3, 1))}
    assert ledger.missing_edges(names, "all") == set()


@pytest.mark.parametrize("reported", ["nothing", "the same round", "a later round"])
@pytest.mark.parametrize("times", [1, 3])
def test_an_edge_holds_again_whatever_its_ends_report_once_its_pair_negotiates_again(
    membership, ledger, times, reported
):
    """An end that missed the lists in between has nothing to report, and the other one the same edge."""
    join(membership)
    known = settle(ledger, "agent-0", "agent-2")
    pair = known.source, known.target
    for _ in range(times):
        membership.set_topology("ring")
        (ended,) = [found.status for found, _ in ledger.edges() if (found.source, found.target) == pair]
        assert ended is Status.ENDED
        membership.set_topology("all")
    if reported != "nothing":
        ledger.record(
            edges=[replace_record(known, round=int(reported == "a later round"))], maps={pair: b"maps"}
        )

    ((found, maps),) = ledger.edges()
    assert replace_record(found, round=0, time=0.0) == known
    assert maps == b"maps"
    assert pair not in ledger.missing_edges([*pair], "all")
    statuses = [each.status for each in ledger.history(*pair)]
    assert statuses[: 1 + 2 * times] == [Status.ACCEPTED, *[Status.ENDED, Status.ACCEPTED] * times]


def test_an_edge_of_a_pair_that_a_leaver_brings_together_again_holds_again(membership, ledger):
    membership.set_topology("ring")
    known = settle(ledger, "agent-2", "agent-0")
    pair = known.source, known.target
    joiner = join(membership)  # stands between the two
    assert ledger.history(*pair)[-1].status is Status.ENDED

    membership.remove(joiner, 0)

    ((found, maps),) = ledger.edges()
    assert (found.status, found.reason, maps) == (Status.ACCEPTED, "", b"maps")


@pytest.mark.parametrize("changed", ["a model", "a pose", "the last negotiation failed", "nothing published"])
def test_an_ended_edge_stays_so_where_its_pair_has_something_to_settle_and_wait_waits(
    membership, ledger, changed
):
    join(membership)
    known = settle(ledger, "agent-0", "agent-2", published=changed != "nothing published")
    if changed == "the last negotiation failed":
        ledger.record(edges=[replace_record(known, status=Status.FAILED, reason="no answer", round=1)])
    membership.set_topology("ring")
    if changed == "a model":
        ledger.record([agent("agent-2", "d")])
    if changed == "a pose":
        membership.move("agent-2", POSE, 0)

    membership.set_topology("all")
    again = Membership(membership.config, membership.folder, ledger, True)

    assert again.topology == membership.topology
    assert [found.status for found, _ in ledger.edges()] == [Status.ENDED]
    assert (known.source, known.target) in ledger.missing_edges(membership.members, "all")


@pytest.mark.parametrize("writable", [True, False])
def test_a_supervisor_that_starts_restores_ended_edges_of_pairs_that_negotiate(
    membership, ledger, monkeypatch, writable
):
    join(membership)
    known = settle(ledger, "agent-0", "agent-2")
    gone = settle(ledger, "agent-3", "agent-1")
    membership.set_topology("ring")
    ledger.record(events=[("topology", {"topology": "hubs(1)", "before": "ring"})])  # as earlier versions did
    if not writable:
        monkeypatch.setattr(ledger, "record", full)

    Membership(membership.config, membership.folder, ledger, True)

    statuses = {found.source: (found.status, maps) for found, maps in ledger.edges()}
    restored = (Status.ACCEPTED, b"maps") if writable else (Status.ENDED, None)
    assert statuses == {known.source: restored, gone.source: (Status.ENDED, None)}


def test_a_change_of_topology_reads_only_the_edges_of_pairs_that_ever_had_one(
    membership, ledger, monkeypatch
):
    for _ in range(4):
        join(membership)
    settle(ledger, "agent-0", "agent-3")
    read, original = [], ledger.parted_edge
    monkeypatch.setattr(pairings, "FEW_PAIRS", 4)
    monkeypatch.setattr(ledger, "parted_edge", lambda *pair: read.append(pair) or original(*pair))
    monkeypatch.setattr(ledger, "history", full)  # all versions of a pair are never read

    membership.set_topology("ring")
    membership.set_topology("all")  # pairs 28 more

    assert read == [("agent-0", "agent-3")]
    ((found, _),) = ledger.edges()
    assert found.status is Status.ACCEPTED


def test_a_joiner_knows_its_teacher_before_others_know_the_joiner(membership):
    join(membership)
    membership.set_topology("ring")
    handles = register(membership, *membership.members)
    name = membership.propose(teacher="agent-1").name
    membership.next_incarnation(name)
    membership.set_public_key(name, KEY)

    assert set(membership.peer_list(handles, name).peers) == {"agent-0", "agent-1", "agent-3"}
    assert name not in membership.peer_list({**handles, name: "a handle"}, "agent-0").peers


@pytest.mark.parametrize(
    ("name", "pose", "sentence"),
    [("agent-7", POSE, "no agent is named 'agent-7': did you mean agent-"),
     ("agent-0", "4.8,3.2,0,0,-35", "the camera sees nothing"),
     ("agent-0", "0,0.4,0,0,0", "objects can reach the camera"),
     ("agent-0", "here", "a pose is written x,y,z,yaw,pitch")],
)  # fmt: skip
def test_a_refused_move_changes_nothing(membership, ledger, name, pose, sentence):
    members, version = dict(membership.members), ledger.version()

    with pytest.raises(ValueError, match=sentence):
        membership.move(name, pose, 0)

    assert (membership.members, ledger.version()) == (members, version)


def test_a_seq_jepa_agent_is_not_moved_where_its_views_cannot_turn(membership):
    settings = ("model.seq_jepa.temporal_weight=1.0", "model.seq_jepa.readout_dim=4")
    membership.members["agent-0"] = replace_record(
        membership.members["agent-0"], kind="seq_jepa", settings=settings
    )

    with pytest.raises(ValueError, match="lower max_view_angle to 9 or less"):
        membership.move("agent-0", "2,3.2,0,180,-80", 0)
    assert membership.members["agent-0"].pose_version == 0


def test_edges_of_pairs_that_a_joiner_or_a_leaver_parts_end_with_it(membership, ledger):
    membership.set_topology("ring")
    parted, changes = [], (lambda: join(membership), lambda: membership.remove("agent-1", 0))
    for change in (changes[0], *changes):
        pairs = negotiating_pairs(membership.topology, membership.members.values())
        ledger.record(edges=[edge(source=a, target=b) for a, b in pairs])
        change()
        kept = negotiating_pairs(membership.topology, membership.members.values())
        newest = {(e.source, e.target): e for e, _ in ledger.edges()}
        parted += pairs - kept

        assert all((newest[pair].status is Status.ENDED) is (pair not in kept) for pair in pairs)
    reasons = {e.reason for pair in parted for e in ledger.history(*pair)}
    joined = {f"the topology ring pairs others since agent-{number} joined" for number in (3, 4)}
    assert reasons >= joined | {"agent-1 left"}


def test_a_joiner_that_is_admitted_after_one_with_a_larger_number_parts_those_beside_its_own(
    membership, ledger
):
    membership.set_topology("ring")
    late = membership.propose().name
    membership.next_incarnation(late)
    join(membership)
    ring = negotiating_pairs(membership.topology, membership.members.values())
    ledger.record(edges=[edge(source=a, target=b) for a, b in ring])
    told = membership._partners_of(late)
    membership.admit(late, 0)

    ended = {(e.source, e.target) for e, _ in ledger.edges() if e.status is Status.ENDED}
    assert ended == {("agent-2", "agent-4"), ("agent-4", "agent-2")}
    assert told == {"agent-2", "agent-4"}
    assert list(membership.members)[3:] == ["agent-3", "agent-4"]


def test_a_joiner_that_cannot_be_recorded_ends_no_edge(membership, ledger, monkeypatch):
    membership.set_topology("ring")
    pairs = negotiating_pairs(membership.topology, membership.members.values())
    ledger.record(edges=[edge(source=a, target=b) for a, b in pairs])
    monkeypatch.setattr(ledger, "_add_edges", full)
    with pytest.raises(LedgerFullError):
        join(membership)

    assert list(membership.pending) == ["agent-3"]
    assert len(ledger.members()) == 3


def test_the_edges_of_a_leaver_end_with_one_tombstone_each(membership, ledger):
    pairs = (("agent-0", "agent-1"), ("agent-1", "agent-2"), ("agent-2", "agent-0"))
    ledger.record(edges=[edge(source=source, target=target) for source, target in pairs])
    membership.remove("agent-1", 0)
    membership.remove("agent-2", 0)

    ends = {(e.source, e.target): (e.status, e.reason) for e, _ in ledger.edges()}
    assert ends == {
        ("agent-0", "agent-1"): ("ended", "agent-1 left"),
        ("agent-1", "agent-2"): ("ended", "agent-1 left"),
        ("agent-2", "agent-0"): ("ended", "agent-2 left"),
    }
    assert len(ledger.history("agent-1", "agent-2")) == 2


def test_neither_the_last_agent_nor_an_unknown_one_can_be_removed(membership):
    with pytest.raises(
        UnknownMemberError, match="no agent is named 'bob': choose one of agent-0, agent-1, agent-2"
    ):
        membership.remove("bob", 0)
    membership.remove("agent-0", 0)
    membership.remove("agent-2", 0)
    with pytest.raises(LastAgentError, match="agent-1 is the last agent: to end the simulation"):
        membership.remove("agent-1", 0)

    assert list(membership.members) == ["agent-1"]


def test_the_name_of_a_leaver_is_not_given_again(membership):
    membership.remove("agent-2", 0)

    assert join(membership) == "agent-3"
    with pytest.raises(NameTakenError, match="agent-2 belonged to an agent that left"):
        join(membership, name="agent-2")


def test_membership_holds_no_tensor_and_no_snapshot(membership):
    kept = [*vars(membership).values(), *membership.members.values()]

    assert not any(isinstance(value, AgentSnapshot) or hasattr(value, "numpy") for value in kept)


def test_incarnations_are_counted_while_the_ledger_cannot_be_written_and_recorded_once_it_can(
    ledger, membership
):
    assert membership.next_incarnation("agent-0") == 1
    ledger._connection.execute("PRAGMA query_only = 1")  # SQLite then says SQLITE_READONLY
    assert [membership.next_incarnation("agent-0", why) for why in ("first", "second")] == [2, 3]
    membership._read()
    assert membership.incarnations["agent-0"] == 3
    assert ledger.incarnations()["agent-0"] == 1
    with pytest.raises(ReadOnlyLedgerError):
        membership.record_incarnations()

    ledger._connection.execute("PRAGMA query_only = 0")
    membership.record_incarnations()

    assert ledger.incarnations() == membership.incarnations
    returned = [
        (event.details["incarnation"], event.details["reason"]) for event in ledger.events_of("returned")
    ]
    assert returned == [(2, "first"), (3, "second")]


def test_a_joiner_that_cannot_be_recorded_stays_a_joiner(ledger, membership):
    name = membership.propose().name
    for _ in range(2):
        membership.next_incarnation(name)
    ledger._connection.execute("PRAGMA query_only = 1")
    with pytest.raises(ReadOnlyLedgerError):
        membership.admit(name, 0)
    assert name in membership.pending
    assert name not in ledger.names()

    ledger._connection.execute("PRAGMA query_only = 0")
    membership.admit(name, 0)

    assert membership.incarnations[name] == ledger.incarnations()[name] == 2
    events = [event.type for event in ledger.events() if event.details["agent"] == name]
    assert events == ["joined", "returned"]


def test_an_agent_that_has_left_is_not_taken_for_a_misspelled_one(membership):
    membership.remove("agent-1", 0)

    for request in (
        lambda: membership.get("agent-1"),
        lambda: membership.move("agent-1", POSE, 0),
        lambda: membership.remove("agent-1", 0),
        lambda: membership.propose(teacher="agent-1"),
    ):
        with pytest.raises(UnknownMemberError, match=r"^agent-1 has left: choose one of agent-0, agent-2$"):
            request()


def test_the_session_and_the_public_keys_outlive_the_supervisor(folder, ledger, membership):
    membership.set_public_key("agent-1", KEY)
    before = membership.peer_list({"agent-1": "a handle"}, "agent-0")
    membership.next_incarnation("agent-1")
    again = Membership(CONFIG, folder, ledger, online=True).peer_list({"agent-1": "a handle"}, "agent-0")

    assert again.peers == {"agent-1": KnownPeer(KEY, 1)}
    assert again.session == before.session != bytes(16)


def test_a_key_that_is_known_is_no_change_to_tell_the_peers(membership):
    other = bytes(32)
    version = membership.peer_list({}, "agent-0").version
    found = [membership.set_public_key("agent-1", key) for key in (KEY, KEY, other, other, KEY)]

    assert found == [True, False, True, False, True]
    assert membership.peer_list({}, "agent-0").version == version + 3


def test_an_agent_whose_key_was_asked_for_too_early_has_it_once_it_enrolls(membership):
    membership.next_incarnation("agent-1")
    assert membership.peer_list({"agent-1": "a handle"}, "agent-0").peers == {}
    membership.set_public_key("agent-1", KEY)
    assert membership.peer_list({"agent-1": "a handle"}, "agent-0").peers == {"agent-1": KnownPeer(KEY, 1)}


@pytest.mark.parametrize("content", ["", "zz", "00" * 31])
def test_a_damaged_public_key_counts_as_none_until_the_agent_enrolls_again(
    folder, ledger, membership, content
):
    membership.next_incarnation("agent-1")
    membership.set_public_key("agent-1", KEY)
    (folder.agent("agent-1") / "identity.pub").write_text(content)
    again = Membership(CONFIG, folder, ledger, online=True)

    assert again.peer_list({"agent-1": "a handle"}, "agent-0").peers == {}
    again.set_public_key("agent-1", KEY)
    assert again.peer_list({"agent-1": "a handle"}, "agent-0").peers == {"agent-1": KnownPeer(KEY, 1)}
