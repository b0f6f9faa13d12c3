"""Universe: planted rotations are recovered, cycles are consistent, a joiner changes no other map."""

from itertools import pairwise, permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.arrays import AlignmentError
from alignment.fit import fit_procrustes
from alignment.held_out import HeldOut
from alignment.score import cycle_error, image_r2, r2
from alignment.shared_subspace import find_shared
from alignment.universe import fit_universe


def turn(dim, generator):
    return torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64))[0]


def cores_of_agents(count, dim=4, ticks=200, noise=0.0, seed=0):
    """Cores of agents that encode one world up to a rotation each: by name [ticks, dim]."""
    generator = torch.Generator().manual_seed(seed)
    world = torch.randn(ticks, dim, generator=generator, dtype=torch.float64)

    def own():
        fancy = torch.randn(ticks, dim, generator=generator, dtype=torch.float64)
        return world @ turn(dim, generator) + noise * fancy

    return {f"agent-{index}": own() for index in range(count)}


def error(universe, cores):
    return sum(
        float((universe.maps[name](core) - universe.consensus).square().sum()) for name, core in cores.items()
    )


@given(st.integers(2, 7), st.integers(1, 6), st.integers(0, 9))
@settings(max_examples=25)
def test_without_noise_every_translation_is_exact(count, dim, seed):
    cores = cores_of_agents(count, dim, 40, seed=seed)
    universe = fit_universe(cores)

    for source, target in permutations(cores, 2):
        assert torch.allclose(universe.between(source, target)(cores[source]), cores[target], atol=1e-8)


def test_translations_agree_around_every_cycle_where_pairwise_ones_do_not():
    cores = cores_of_agents(5, ticks=16, noise=0.4)
    universe = fit_universe(cores)
    ring = [*cores, next(iter(cores))]
    steps = list(pairwise(ring))
    points = cores["agent-0"]

    assert cycle_error([universe.between(a, b) for a, b in steps], points) < 1e-20
    assert cycle_error([fit_procrustes(cores[a], cores[b], centered=False) for a, b in steps], points) > 1e-3


def test_a_universe_of_many_noisy_agents_translates_better_than_pairwise_maps():
    cores, later = (
        {n: c[s] for n, c in cores_of_agents(16, 6, 1024, 0.5).items()} for s in (slice(12), slice(12, None))
    )
    universe = fit_universe(cores)

    def score(translate):
        pairs = permutations(cores, 2)
        return torch.tensor([r2(translate(a, b)(later[a]), later[b]) for a, b in pairs]).mean()

    direct = score(lambda a, b: fit_procrustes(cores[a], cores[b], centered=False))
    assert score(universe.between) > direct


def test_the_iteration_ends_where_no_small_rotation_lowers_the_error():
    cores = cores_of_agents(4, ticks=30, noise=0.3)
    universe = fit_universe(cores)
    best = error(universe, cores)
    generator = torch.Generator().manual_seed(1)

    for name in cores:
        skew = torch.randn(4, 4, generator=generator, dtype=torch.float64) * 1e-3
        nudge = torch.linalg.matrix_exp(skew - skew.T)
        moved = {**cores, name: cores[name] @ nudge}
        assert error(universe, moved) > best


def test_a_joiner_is_translated_and_changes_no_other_map():
    cores = cores_of_agents(5, noise=0.1)
    late = cores.pop("agent-4")
    universe = fit_universe(cores)
    joined = universe.join("agent-4", late)

    assert all(torch.equal(joined.maps[name].weight, universe.maps[name].weight) for name in cores)
    assert r2(joined.between("agent-4", "agent-0")(late), cores["agent-0"]) > 0.95
    assert r2(joined.between("agent-0", "agent-4")(cores["agent-0"]), late) > 0.95


def test_a_trimmed_universe_keeps_a_direction_that_most_agents_lack():
    rng = np.random.default_rng(0)
    factors, cores = rng.standard_normal((400, 4)), {}
    for place in range(7):
        seen = factors if place < 2 else factors[:, :3]
        turn = np.linalg.qr(rng.standard_normal((seen.shape[1],) * 2))[0]
        core = (seen + 0.2 * rng.standard_normal(seen.shape)) @ turn
        cores[f"agent-{place}"] = torch.from_numpy(core)
    universe = fit_universe(cores, keep=0.7)

    variance = torch.linalg.eigvalsh(torch.cov(universe.consensus.T))
    assert variance[0] > 0.5 * variance[-1]  # the median over all agents left 0.01
    assert r2(universe.between("agent-0", "agent-1")(cores["agent-0"]), cores["agent-1"]) > 0.9


def test_a_share_of_shuffled_rows_is_trimmed():
    cores = cores_of_agents(6, ticks=256, noise=0.05)
    spoilt = {name: core.clone() for name, core in cores.items()}
    for place, core in enumerate(spoilt.values()):
        start = 40 * place  # other rows of each: at every tick most agents are right
        core[start : start + 40] = core[start : start + 40].roll(1, 0)

    def worst(universe):
        return min(r2(universe.between(a, b)(cores[a]), cores[b]) for a, b in permutations(cores, 2))

    assert worst(fit_universe(spoilt, keep=0.7)) > 0.98
    assert worst(fit_universe(spoilt, keep=0.7)) > worst(fit_universe(spoilt)) - 1e-3


def test_a_smaller_core_is_embedded_without_distortion():
    cores = cores_of_agents(3, dim=5)
    cores["agent-2"] = cores["agent-2"][:, :3] @ turn(3, torch.Generator().manual_seed(4))
    universe = fit_universe(cores)
    weight = universe.maps["agent-2"].weight

    assert weight.shape == (3, 5)
    assert torch.allclose(weight @ weight.T, torch.eye(3, dtype=torch.float64), atol=1e-9)
    assert r2(universe.between("agent-0", "agent-2")(cores["agent-0"]), cores["agent-2"]) > 0.99


def test_too_few_agents_or_mismatched_ticks_are_refused():
    cores = cores_of_agents(3)
    with pytest.raises(ValueError, match="two or more agents"):
        fit_universe({"agent-0": cores["agent-0"]})
    with pytest.raises(ValueError, match="the same ticks"):
        fit_universe({**cores, "agent-1": cores["agent-1"][:-1]})
    universe = fit_universe(cores)
    with pytest.raises(ValueError, match="one row for each of the 200 shared ticks"):
        universe.join("agent-3", cores["agent-0"][:5])
    with pytest.raises(KeyError, match="agent-9 is not in"):
        universe.between("agent-0", "agent-9")


def test_a_core_of_zeros_is_refused_by_its_name():
    cores = cores_of_agents(3)
    for zero in (torch.zeros(200, 4), torch.zeros(200, 4, dtype=torch.int64)):
        with pytest.raises(AlignmentError, match=r"core of agent-1 .*leave agent-1 out"):
            fit_universe({**cores, "agent-1": zero})
        with pytest.raises(AlignmentError, match=r"core of late .*leave late out"):
            fit_universe(cores).join("late", zero)


def test_an_agent_without_a_core_changes_no_map_between_others():
    cores = cores_of_agents(3)
    names = [name for name in cores if name != "agent-1"]
    alone = fit_universe({name: cores[name] for name in names})
    beside = fit_universe({**cores, "agent-1": torch.zeros(200, 0)})

    a, b = names
    expected, found = (each.between(a, b)(cores[a]) for each in (alone, beside))
    assert torch.allclose(found, expected, atol=1e-4)


def test_the_map_of_a_flat_core_says_what_the_ticks_leave_undetermined():
    cores = cores_of_agents(3)
    cores["agent-1"] = cores["agent-1"] @ torch.diag(torch.tensor([1.0, 1, 0, 0], dtype=torch.float64))
    universe = fit_universe(cores)

    assert [universe.maps[name].undetermined for name in cores] == [0, 2, 0]
    assert universe.between("agent-1", "agent-0").undetermined == 2
    assert universe.between("agent-0", "agent-2").undetermined == 0


def test_few_ticks_leave_every_map_undetermined():
    cores = {name: core[:2].repeat(64, 1) for name, core in cores_of_agents(3).items()}

    assert {found.undetermined for found in fit_universe(cores).maps.values()} == {2}


def test_a_joiner_that_also_sees_what_no_other_agent_sees_keeps_that_private():
    cores = cores_of_agents(4)
    private = torch.randn(200, 2, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    late = torch.cat([private, cores["agent-3"]], 1)
    others = {name: core for name, core in cores.items() if name != "agent-3"}

    universe = fit_universe(others).join("late", late)

    assert universe.consensus.shape[1] == 4
    for name, core in others.items():
        assert r2(universe.between("late", name)(late), core) > 0.97
        back = universe.between(name, "late")(core)
        assert back[:, :2].square().mean() < 0.05
        assert r2(back[:, 2:], late[:, 2:]) > 0.99


def test_cores_that_are_not_finite_or_of_other_ticks_are_refused():
    cores = cores_of_agents(3)
    spoilt = cores["agent-1"].clone()
    spoilt[3, 0] = torch.nan

    with pytest.raises(AlignmentError, match="row 3 of the core of agent-1"):
        fit_universe({**cores, "agent-1": spoilt})
    with pytest.raises(AlignmentError, match="one row for each of the 200"):
        fit_universe(cores).join("late", torch.ones(199, 5))
    for keep in (0.0, 1.5, float("nan")):
        with pytest.raises(AlignmentError, match="keep"):
            fit_universe(cores, keep=keep)


HAVE = {
    "a": (0, 1, 2, 3, 4, 5),
    "b": (0, 1, 2, 3),
    "c": (0, 1, 2, 3, 4, 5),
    "d": (2, 3, 4, 5),
    "e": (1, 2, 3),
}


def partly_blind_agents(noise=0.15, private=1, rows=1000):
    """Agents that see some of six factors and each a factor of its own: (cores, later cores, shared maps)."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    turns = {name: turn(len(seen) + private, generator) for name, seen in HAVE.items()}

    def encode():
        world = normal(rows, 6)
        return {
            name: (
                torch.cat([world[:, seen], normal(rows, private)], 1) + noise * normal(rows, len(turns[name]))
            )
            @ turns[name]
            for name, seen in HAVE.items()
        }

    cores, later = encode(), encode()
    pairs = permutations(HAVE, 2)
    shared = {
        (i, j): find_shared(cores[i], cores[j], HeldOut.of_pairs(later[i], later[j])).map for i, j in pairs
    }
    return cores, later, shared


@pytest.fixture(scope="module")
def partly_blind():
    cores, later, shared = partly_blind_agents()
    return fit_universe({name: core[:256] for name, core in cores.items()}, shared=shared), later, shared


def test_the_universe_of_partly_blind_agents_has_what_two_or_more_of_them_see(partly_blind):
    universe, _, _ = partly_blind
    common = set.intersection(*(set(seen) for seen in HAVE.values()))

    assert universe.consensus.shape[1] == 6
    assert universe.common_dim == len(common) == 2
    for i, j in permutations(HAVE, 2):
        kept = torch.linalg.svdvals(universe.between(i, j).weight)
        assert (kept > 1 - 1e-9).sum() == len(set(HAVE[i]) & set(HAVE[j]))
        assert ((kept > 1 - 1e-9) | (kept < 1e-9)).all()


def test_translating_through_a_partial_universe_is_as_good_as_directly(partly_blind):
    universe, later, shared = partly_blind

    for i, j in permutations(HAVE, 2):
        through, direct = (
            image_r2(found, later[i], later[j]) for found in (universe.between(i, j), shared[i, j])
        )
        assert through > direct - 0.02 > 0.85  # from 256 and from 1000 pairs


def test_what_is_common_to_all_comes_back_from_every_cycle_of_a_partial_universe(partly_blind):
    universe, later, _ = partly_blind
    lengths = torch.stack([found.weight.square().sum(0) for found in universe.maps.values()])
    into = universe.maps["a"].weight[:, (lengths > 0.5).all(0)]  # the directions of a that all have
    points = later["a"] @ into @ into.T

    for i, j in permutations([name for name in HAVE if name != "a"], 2):
        steps = [universe.between("a", i), universe.between(i, j), universe.between(j, "a")]
        assert cycle_error(steps, points) < 1e-10
    pairwise_steps = [partly_blind[2][step] for step in (("a", "b"), ("b", "d"), ("d", "a"))]
    assert cycle_error(pairwise_steps, later["a"]) > 0.3  # it passes through agents that lack directions


def test_a_universe_of_wholly_shared_cores_is_the_same_with_and_without_their_maps():
    cores = cores_of_agents(3, ticks=300, noise=0.1)
    maps = {(i, j): fit_procrustes(cores[i], cores[j], centered=False) for i, j in permutations(cores, 2)}
    plain, placed = fit_universe(cores), fit_universe(cores, shared=maps)

    for i, j in permutations(cores, 2):
        torch.testing.assert_close(placed.between(i, j).weight, plain.between(i, j).weight, atol=1e-4, rtol=0)
    assert plain.common_dim == placed.common_dim == 4


def test_trimming_rows_of_partly_shared_cores_is_refused():
    cores = cores_of_agents(2)
    with pytest.raises(AlignmentError, match="leave out keep"):
        fit_universe(cores, keep=0.7, shared={})
