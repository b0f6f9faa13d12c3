"""The pictures of a room that the toy renderer keeps."""

import gc
from dataclasses import replace

import numpy as np
import pytest

from env.camera import Pose
from env.interior_walls import InteriorWallsConfig
from env.renderers.toy_room import KEPT_BYTES, Room, see_room

NO_WALLS = InteriorWallsConfig()


def sizes(room):
    return sum(each.nbytes for each in vars(room).values() if each is not None)


@pytest.mark.parametrize("size", [32, 768])
def test_a_camera_that_moves_keeps_pictures_of_bounded_size_alone(size):
    gc.collect()
    before = {id(each) for each in gc.get_objects() if type(each) is Room}
    pose = Pose(3.0, 1.5, 0.0, 0.0, -10.0)
    for turn in range(70 if size < 768 else 9):
        see_room(replace(pose, yaw=float(turn)), size, 8.0, NO_WALLS)
    gc.collect()
    kept = [each for each in gc.get_objects() if type(each) is Room and id(each) not in before]

    assert 2 <= len(kept) <= 64
    assert sum(map(sizes, kept)) <= KEPT_BYTES


def test_the_picture_of_a_pose_that_was_just_seen_is_not_cast_again():
    pose = Pose(2.0, 1.5, 1.0, 0.5, -10.0)
    room = see_room(pose, 48, 8.0, NO_WALLS)

    assert see_room(replace(pose), 48, 8.0, NO_WALLS) is room
    assert not np.array_equal(see_room(replace(pose, yaw=90.0), 48, 8.0, NO_WALLS).pixels, room.pixels)
