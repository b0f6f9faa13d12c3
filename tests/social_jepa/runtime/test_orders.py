"""Orders that an agent has not followed are sent again, and those that it has followed are not."""

from types import SimpleNamespace

import pytest

from env.camera import Pose
from social_jepa.records import MemberRecord
from social_jepa.runtime.orders import REPEAT_SECONDS, Orders

POSE = "-4.8,3.2,0,0,-35"
MEMBER = MemberRecord(name="a", index=0, pose=POSE, kind="jepa", pose_version=2)


class Calls(list):
    """The calls of an actor's methods, with their arguments; in the place of a handle of Ray's."""

    def __getattr__(self, method):
        return SimpleNamespace(remote=lambda *arguments: self.append((method, *arguments)))


def report(pose_version=2, phase="training", failure=None):
    progress = None if phase is None else SimpleNamespace(phase=phase)
    return SimpleNamespace(pose_version=pose_version, progress=progress, failure=failure)


@pytest.mark.parametrize(
    ("found", "paused", "expected"),
    [
        (report(), False, []),
        (report(phase="paused"), True, []),
        (report(pose_version=0, phase=None), True, []),  # it is being built
        (report(pose_version=1, failure="it died"), True, []),
        (report(pose_version=1), False, [("move", "a", Pose.parse(POSE), 2)]),
        (report(), True, [("pause", "a", True)]),
        (report(phase="paused"), False, [("pause", "a", False)]),
        (report(1, "paused"), False, [("move", "a", Pose.parse(POSE), 2), ("pause", "a", False)]),
    ],
)
def test_what_was_lost_is_sent_again_once_in_a_while(found, paused, expected):
    orders, calls = Orders(), Calls()
    for now in (0.0, REPEAT_SECONDS / 2):
        orders.check(MEMBER, paused, found, calls, now)
    assert calls == []  # it may just be busy
    orders.check(MEMBER, paused, found, calls, REPEAT_SECONDS)
    assert calls == expected
    orders.check(MEMBER, paused, found, calls, 1.5 * REPEAT_SECONDS)
    assert calls == expected
    orders.check(MEMBER, paused, found, calls, 2 * REPEAT_SECONDS)
    assert calls == 2 * expected


def test_the_wait_begins_again_once_an_agent_has_followed():
    orders, calls = Orders(), Calls()
    for now, phase in ((0.0, "training"), (1.0, "paused"), (REPEAT_SECONDS, "training")):
        orders.check(MEMBER, True, report(phase=phase), calls, now)

    assert calls == []
