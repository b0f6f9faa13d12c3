import math
import pickle

import pytest

from agents.spec import Progress
from env.camera import Pose
from social_jepa.records import (
    BodyRecord,
    BudgetRow,
    MemberRecord,
    NearestTick,
    PathQuality,
    PoseRecord,
    ProgressRecord,
    as_dict,
    decode,
    encode,
    replace,
)

MEMBER = MemberRecord(name="agent-0", index=0, pose="1,2,3,4,5,60", kind="jepa", settings=("model.dim=8",))
PROGRESS = Progress(
    name="agent-0", phase="training", step=3, steps=9, recorded=64, next_tick=70, frames=12, loss=math.nan,
    frames_per_s=4.0, seconds_left=math.nan, record_seconds=1.0, train_seconds=2.0, device="cpu",
)  # fmt: skip


@pytest.mark.parametrize("record", [MEMBER, ProgressRecord.of(PROGRESS), NearestTick(tick=3, distance=0.1)])
def test_a_record_survives_json_and_pickle(record):
    assert decode(encode(record), type(record)) == record
    assert pickle.loads(pickle.dumps(record)) == record


@pytest.mark.parametrize(
    "data",
    [b'{"pairs":8,"method":"ridge"}', b'{"pairs":8,"method":"ridge","r2":0.5,"weights":[]}',
     b'{"pairs":0,"method":"ridge","r2":0.5}', b'{"pairs":8,"method":"lasso","r2":0.5}',
     b'{"pairs":8,"method":"ridge","r2":1.5}', b'{"pairs":8,', b"[]"],
    ids=["missing", "unknown", "below its range", "not a choice", "above its range", "cut short", "a list"],
)  # fmt: skip
def test_data_that_is_no_record_is_refused(data):
    with pytest.raises(ValueError, match=r"Object|Expected|Invalid|Input"):
        decode(data, BudgetRow)


def test_nan_becomes_null():
    assert ProgressRecord.of(PROGRESS).loss is None
    assert b'"distance":null' in encode(NearestTick(tick=3, distance=math.inf))


def test_json_names_the_ends_of_a_path_from_and_to():
    quality = PathQuality(source="a", target="b", path=("a", "b"), expected_r2=0.5, measured_r2=0.4)

    assert as_dict(quality) == {
        "from": "a", "to": "b", "path": ("a", "b"), "expected_r2": 0.5, "measured_r2": 0.4,
    }  # fmt: skip


def test_replace_changes_a_copy():
    moved = replace(MEMBER, pose="0,1,0,0,0,60", pose_version=1)

    assert (moved.pose_version, MEMBER.pose_version) == (1, 0)
    assert moved.name == MEMBER.name


def test_a_pose_keeps_its_numbers():
    pose = Pose(-4.8, 3.2, 0.0, 90.0, -35.0)

    assert as_dict(PoseRecord.of(pose)) == {
        "x": -4.8, "y": 3.2, "z": 0.0, "yaw": 90.0, "pitch": -35.0, "fov": 60.0, "view": None,
    }  # fmt: skip


def test_a_body_leaves_where_its_pose_is_none():
    assert BodyRecord(3, "a", "1,2,3,4,5").event().pose == Pose(1.0, 2.0, 3.0, 4.0, 5.0)
    assert BodyRecord(9, "a", None).event().pose is None


def test_a_view_of_a_source_is_a_pose_too():
    assert PoseRecord.of(Pose.of_view(2)).view == 2
