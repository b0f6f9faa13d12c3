import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.camera import Pose
from social_jepa.config.run_config import MAX_AGENTS, load_config
from social_jepa.graph.records import BodyRecord, MemberRecord, body_events, decode, encode
from social_jepa.runtime.membership import (
    MembershipError,
    find_member,
    initial_members,
    member_spec,
    new_member,
    write_pose,
)
from social_jepa.storage.run_folder import RunFolder

CONFIG = load_config(overrides=["scene.renderer=toy", "agents.count=3"])
PRESENT = initial_members(CONFIG)
TAKEN = [member.name for member in PRESENT]

REFUSED = {
    "a name that a shell would take apart": ({"name": "a b"}, "'a b' is no name: up to 64 letters"),
    "a name that is a path": ({"name": "../x"}, "'../x' is no name"),
    "a name that is the folder above": ({"name": ".."}, "'..' is no name"),
    "a name that is too long": ({"name": "x" * 65}, "up to 64 letters"),
    "a name of two lines": ({"name": "a\n"}, "is no name"),
    "the name of who keeps the simulation": (
        {"name": "supervisor"},
        "supervisor is the name of another part",
    ),
    "a name that is there": ({"name": "agent-1"}, "the name agent-1 exists: choose another"),
    "no pose": ({"pose": "here"}, "a pose is written x,y,z,yaw,pitch"),
    "a pose that is no number": ({"pose": "nan,3,0,0,-35"}, "must be a finite number"),
    "a pose that sees nothing": ({"pose": "4.8,3.2,0,0,-35"}, "the camera sees nothing"),
    "a pose within reach": ({"pose": "0,0.4,0,0,0"}, "raise y above"),
    "a pose under the floor": ({"pose": "4.8,-1,0,180,35"}, "raise y above 0"),
    "an unknown kind": ({"kind": "jepaa"}, "did you mean 'jepa'?"),
    "an unknown teacher": ({"teacher": "agent-9"}, "no agent is named 'agent-9': did you mean agent-"),
    "a teacher of another name": ({"teacher": "bob"}, "there are agent-0, agent-1, agent-2"),
    "a scene of its own": ({"settings": ["scene.objects=2"]}, "is everybody's"),
    "a negotiation of its own": ({"settings": ["negotiation.anchors=8"]}, "is everybody's"),
    "a seed of its own": ({"settings": ["seed=3"]}, "is everybody's"),
    "an unknown setting": ({"settings": ["model.dimm=3"]}, "did you mean model.dim?"),
    "a setting without a value": ({"settings": ["model.dim"]}, "key.sub=value"),
    "a setting that cannot work": ({"settings": ["model.dim=0"]}, "choose from 1 to 1024"),
    "a lesson that teaches nothing": ({"settings": ["distillation.ticks=8"]}, "choose from 64"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_who_cannot_come_is_told_why(case):
    wanted, sentence = REFUSED[case]

    with pytest.raises(ValueError, match=re.escape(sentence)) as refusal:
        new_member(CONFIG, PRESENT, TAKEN, **wanted)

    assert "\n" not in str(refusal.value).replace("\\n", "")


def test_more_than_fit_are_refused():
    many = [
        MemberRecord(name=f"agent-{k}", index=k, pose=PRESENT[0].pose, kind="jepa") for k in range(MAX_AGENTS)
    ]

    with pytest.raises(MembershipError, match=f"no more than {MAX_AGENTS} fit: remove one"):
        new_member(CONFIG, many, [member.name for member in many])


def test_who_says_nothing_gets_a_free_name_and_the_next_place_on_the_ring():
    first = new_member(CONFIG, PRESENT, TAKEN)
    second = new_member(CONFIG, PRESENT, ["agent-0", "agent-3", "agent-1"])

    assert (first.name, first.index, first.kind, first.settings) == ("agent-3", 3, "jepa", ())
    assert first.pose == write_pose(load_config(overrides=["agents.count=4"]).pose(3))
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
def test_a_pose_comes_back_from_text_exactly(pose):
    assert Pose.parse(write_pose(pose)) == pose


def test_a_member_survives_json():
    member = MemberRecord(
        name="x", index=4, pose=PRESENT[0].pose, kind="jepa", settings=("model.dim=8",), teacher="agent-0",
        pose_version=2,
    )  # fmt: skip

    assert decode(encode(member), MemberRecord) == member
    assert decode(encode(PRESENT[0]), MemberRecord) == PRESENT[0]


def test_a_members_own_settings_lie_over_those_of_the_run():
    settings = ("model.dim=8", "agents.device=cpu")
    member = MemberRecord(name="x", index=4, pose=PRESENT[0].pose, kind="jepa", settings=settings)

    own = member.config(CONFIG)
    assert (own.model.dim, own.agents.device) == (8, "cpu")
    assert own.scene == CONFIG.scene
    assert PRESENT[0].config(CONFIG) is CONFIG


def test_what_makes_an_agent_does_not_depend_on_who_else_is_there():
    few, many = (load_config(overrides=["scene.renderer=toy", f"agents.count={count}"]) for count in (2, 7))
    specs = [
        member_spec(config, initial_members(config)[1], [], RunFolder(Path("run"))) for config in (few, many)
    ]

    assert specs[0] == specs[1]


def test_bodies_come_move_and_leave_where_the_rows_say():
    events = body_events([BodyRecord(0, "a", "1,2,3,4,5,60"), BodyRecord(9, "a", None)])

    assert [(event.tick, event.name, event.pose) for event in events] == [
        (0, "a", Pose(1, 2, 3, 4, 5, 60)), (9, "a", None),
    ]  # fmt: skip


def test_a_member_is_found_by_its_name():
    assert find_member(PRESENT, "agent-2") is PRESENT[2]


def test_a_newcomer_is_not_measured_by_what_the_founders_would_make_of_its_settings():
    config = load_config(overrides=["scene.renderer=toy", "agents.kind=seq_jepa"])
    level = "6,0.5,0,180,0"  # the founders look down, and could not glance as far
    member = new_member(config, [], [], pose=level, settings=["model.seq_jepa.max_view_angle=80"])

    assert member.config(config).model.seq_jepa.max_view_angle == 80


@pytest.mark.parametrize(
    ("kinds", "usual"), [('["seq_jepa","seq_jepa"]', "seq_jepa"), ('["p_jepa","jepa"]', "jepa")]
)
def test_a_newcomer_is_by_default_what_all_others_are(kinds, usual):
    config = load_config(overrides=["scene.renderer=toy", "agents.count=2", f"agents.kinds={kinds}"])

    assert new_member(config, [], []).kind == usual
