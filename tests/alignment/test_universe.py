"""Universe: planted rotations are recovered, cycles are consistent, a joiner changes no other map."""

from itertools import pairwise, permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.arrays import AlignmentError
from alignment.fit import fit_procrustes
from alignment.score import cycle_error, r2
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


def test_cores_that_are_not_finite_or_too_large_to_join_are_refused():
    cores = cores_of_agents(3)
    spoilt = cores["agent-1"].clone()
    spoilt[3, 0] = torch.nan

    with pytest.raises(AlignmentError, match="row 3 of the core of agent-1"):
        fit_universe({**cores, "agent-1": spoilt})
    with pytest.raises(AlignmentError, match="fit the universe again"):
        fit_universe(cores).join("late", torch.ones(200, 5))
    for keep in (0.0, 1.5, float("nan")):
        with pytest.raises(AlignmentError, match="keep"):
            fit_universe(cores, keep=keep)
