import math
import time

import numpy as np
import pytest

from env.dynamics.collide import Collide
from env.dynamics.contract import BLOCK, Motion
from env.dynamics.disc_gas import DiscGas, check_collisions, start_gas

DIAMETER = math.sqrt(2) * 0.9 / 3.4
RECORDED = ["-0x1.b6aa59da1f3e0p-7", "-0x1.c4f7dbb8d3f62p-1", "0x1.58c176d574255p-2"]

every_number = pytest.mark.parametrize("objects", [2, 3, 6, 12])


def centers(objects, ticks=8 * BLOCK, seed=3):
    """Centers of the discs at ticks, [T, objects, 2], in units of the object range."""
    dynamics = Collide(Motion(seed, (0.7,) * (2 * objects)))
    return dynamics.positions(dynamics.factors(np.arange(ticks))).reshape(ticks, objects, 2)


@every_number
def test_objects_never_overlap_nor_leave_the_room(objects):
    places = centers(objects)
    assert np.abs(places).max() <= 1
    distances = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1)
    distances[:, np.arange(objects), np.arange(objects)] = math.inf
    assert distances.min() >= DIAMETER - 1e-9
    assert distances.min() < DIAMETER + 0.05  # they do meet


@every_number
def test_kinetic_energy_is_conserved(objects):
    gas = start_gas("test", objects, DIAMETER, 0.05)
    for _ in range(8):
        gas.advance(500.0)
    energy = sum(speed**2 for speed in gas.u + gas.v)
    assert energy == pytest.approx(2 * objects * 0.05**2, rel=1e-9)


def test_speeds_between_collisions_are_those_of_the_energy():
    steps = np.diff(centers(3), axis=0)
    free = np.median((steps**2).sum((1, 2)))
    assert free == pytest.approx(2 * 3 * (2 / 48) ** 2, rel=1e-6)


def test_a_head_on_collision_exchanges_velocities_and_a_grazing_one_keeps_the_tangential_part():
    head_on = DiscGas(0.5, [-0.5, 0.5], [0.0, 0.0], [0.1, -0.05], [0.0, 0.0])
    head_on.advance(5.0)
    assert head_on.u == pytest.approx([-0.05, 0.1])
    touch = 0.25 * math.sqrt(2)  # at 45 degrees: the moving disc gives half of its velocity
    grazing = DiscGas(0.5, [-0.5, 0.0], [-touch, 0.0], [0.1, 0.0], [0.0, 0.0])
    grazing.advance(2.5)
    assert [*grazing.u, *grazing.v] == pytest.approx([0.05, 0.05, -0.05, 0.05])


def test_a_disc_alone_reflects_at_the_walls_as_a_triangle_wave():
    gas = DiscGas(0.5, [0.2], [-0.3], [0.07], [0.011])
    gas.advance(1000.0)
    fold = [1 - abs((start + speed * 1000 + 1) % 4 - 2) for start, speed in ((0.2, 0.07), (-0.3, 0.011))]
    assert [*gas.x, *gas.y] == pytest.approx(fold, abs=1e-9)


@pytest.mark.parametrize("duration", [60.0, 200.0])
def test_reversed_velocities_lead_back_to_the_start(duration):
    gas = start_gas("reversal", 6, DIAMETER, 0.02)
    start = gas.copy()
    gas.advance(duration)
    gas.u, gas.v = [-u for u in gas.u], [-v for v in gas.v]
    gas.advance(duration)
    np.testing.assert_allclose([gas.x, gas.y], [start.x, start.y], atol=1e-5)


def test_events_agree_with_small_steps():
    """An independent simulation: tiny steps, collisions resolved where discs overlap."""
    gas = start_gas("steps", 4, DIAMETER, 0.02)
    p, w = np.array([gas.x, gas.y]).T.copy(), np.array([gas.u, gas.v]).T.copy()
    step = 2e-3
    for _ in range(round(100 / step)):
        p += step * w
        w = np.where(np.abs(p) > 1, -np.sign(p) * np.abs(w), w)
        for i in range(4):
            for j in range(i):
                d = p[i] - p[j]
                approach = (w[i] - w[j]) @ d
                if d @ d < DIAMETER**2 and approach < 0:
                    w[i] -= approach / (d @ d) * d
                    w[j] += approach / (d @ d) * d
    gas.advance(100.0)
    np.testing.assert_allclose(np.array([gas.x, gas.y]).T, p, atol=0.02)


def test_motion_does_not_jump_between_blocks():
    places = centers(3)
    fastest = math.sqrt(2 * 3) * 2 / 48  # one object with all of the energy
    assert np.abs(np.diff(places, axis=0)).max() <= fastest + 1e-12


def test_there_is_nothing_before_tick_0():
    with pytest.raises(ValueError, match="start at tick 0"):
        Collide(Motion(0, (0.7,) * 4)).factors(np.array([-1]))


def test_equal_names_start_equal_gases_and_other_names_do_not():
    a, b, c = (start_gas(name, 3, DIAMETER, 0.05) for name in ("a", "a", "c"))
    assert a == b
    assert a != c


def test_a_known_state_stays_the_same_on_every_machine():
    """Recorded once: exact equality, since chaotic motion turns any rounding into another world."""
    gas = start_gas("collide:3", 3, DIAMETER, 2 / 48)
    for _ in range(8):
        gas.advance(BLOCK)
    assert [x.hex() for x in gas.x] == RECORDED


def test_the_first_access_far_away_is_affordable():
    dynamics = Collide(Motion(11, (0.7,) * 6))
    began = time.process_time()
    dynamics.factors(np.array([100_000]))
    assert time.process_time() - began < 2.0


def test_too_many_or_too_large_objects_and_a_single_one_are_refused():
    check_collisions(12, 0.9, 3.4)
    with pytest.raises(ValueError, match="lower objects or object_size"):
        check_collisions(12, 1.5, 3.0)
    with pytest.raises(ValueError, match="set dynamics to bounce"):
        check_collisions(1, 0.9, 3.4)
    with pytest.raises(ValueError, match="set dynamics to bounce"):
        Collide(Motion(0, (0.7, 0.7)))
