from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.models.checker import check_frozen_encoder, check_world_model
from agents.models.registry import build_world_model
from agents.models.settings import ModelConfig, SeqJepaConfig
from social_jepa.experiments.common.other_encoders import PatchEncoder
from social_jepa.experiments.common.trained_agents import train_agent, trained_agent, untrained_agent
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.framework.registry import build_settings
from social_jepa.experiments.heterogeneous.metrics import make_metrics, make_notes
from social_jepa.experiments.heterogeneous.pretrained import load_pretrained, pretrain, providing
from social_jepa.experiments.heterogeneous.run import (
    EXPERIMENT,
    compared_axes,
    probe_scores,
    run,
    shuffled_poses,
)
from social_jepa.experiments.heterogeneous.settings import CONTROL, DIMS, KINDS, VARIANTS, Settings
from tests.support.stored_plots import stored_plots

PATCH_MIXER = VARIANTS["patch-mixer"].kind
TINY = build_settings(
    EXPERIMENT,
    True,
    [
        "setup.training.steps=12",
        "setup.training.replay_ticks=256",
        "setup.training.core_eval_ticks=64",
        "setup.training.segments=16",
        "setup.scene.frame_size=16",
        "setup.negotiation.pool_ticks=128",
        "setup.negotiation.anchors=32",
        "setup.negotiation.heldout=48",
    ],
)


def quiet(text):
    pass


def test_variants_differ_from_the_default_agent_as_described():
    default = ModelConfig()
    models = {name: VARIANTS[name].model(default) for name in VARIANTS}

    assert [models[name].dim for name in DIMS] == [8, 16, 32, 64]
    assert all(replace(models[name], dim=16) == default for name in DIMS)
    assert [models[name].width for name in ("narrow", "wide")] == [16, 48]
    assert {models[name].objective for name in KINDS} == {"whitened", "vicreg", "log_det", "ema"}
    assert models["p-jepa-positions"].p_jepa.task == "positions"
    assert models["seq-jepa"].seq_jepa == SeqJepaConfig()  # the defaults, temporal weight included
    assert models["jepa"] == models["jepa-twin"] == models["untrained"] == models["frozen-encoder"] == default


def test_agents_learn_at_other_times_on_eight_seeds():
    setup = Settings().setup
    offsets = [setup.train_offset(index) for index in range(len(VARIANTS))]

    assert np.diff(offsets).min() > setup.training.replay_ticks
    assert EXPERIMENT.seeds == range(1000, 1008)


def test_poses_depend_on_the_seed_and_are_distinct():
    setup = Settings().setup
    drawn = [shuffled_poses(seed, setup) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    for poses in drawn:
        spots = np.array([(pose.x, pose.z) for pose in poses])
        distances = np.linalg.norm(spots[:, None] - spots, axis=2) + 10 * np.eye(len(spots))
        assert distances.min() > 1.8  # meters


@pytest.mark.parametrize("frame_size", [16, 32])
def test_the_patch_encoder_meets_the_contract(frame_size):
    config = ModelConfig(dim=4, width=8, hidden=16)
    build = [lambda seed=seed: build_world_model(PATCH_MIXER, config, frame_size, (seed,)) for seed in (0, 1)]
    check_world_model(build[0](), frame_size, dim=4, rebuild=build[1])


def test_each_patch_changes_the_latent_of_the_patch_encoder():
    model = build_world_model(PATCH_MIXER, ModelConfig(dim=4, width=8, hidden=16, precision="fp32"), 32, (0,))
    frames = torch.full((1, 32, 32, 3), 9, dtype=torch.uint8).repeat(17, 1, 1, 1)
    for patch in range(16):
        frames[patch, 8 * (patch // 4) : 8 * (patch // 4) + 8, 8 * (patch % 4) : 8 * (patch % 4) + 8] = 200
    latents = model.encode(frames)
    assert torch.cdist(latents, latents).add(torch.eye(17)).min() > 1e-3


def test_further_encoders_of_the_patch_mixer_are_patch_encoders_too():
    model = build_world_model(PATCH_MIXER, ModelConfig(dim=4, width=8, hidden=16), 32, (0,))

    assert isinstance(model.build_encoder(), PatchEncoder)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["setup.model.dim=0"], "dim"),
        (["setup.model.dim=8"], r"setup\.model\.dim=8"),  # half of it cannot hold six factors
        (["setup.negotiation.pool_ticks=1000"], r"setup\.negotiation\.pool_ticks=1000 must be at least 1024"),
        (["setup.training.own_ticks=false"], r"setup\.training\.own_ticks"),
        (["setup.scene.objects=2"], r"controlled_objects=3 must equal"),
    ],
)
def test_invalid_settings_are_rejected(overrides, named):
    with pytest.raises(ValueError, match=named):
        build_settings(EXPERIMENT, False, overrides)


def test_an_unknown_condition_is_rejected():
    with pytest.raises(KeyError, match="unknown"):
        run("unknown", 0, TINY, quiet)


def test_the_pretrained_encoder_is_one_that_a_run_takes_and_never_changes():
    index, poses = list(VARIANTS).index("frozen-encoder"), shuffled_poses(3, TINY.setup)
    encoder, flops = pretrain(TINY.setup, 3, index, poses, quiet)
    check_frozen_encoder(encoder, TINY.setup.scene.frame_size)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    kind = VARIANTS["frozen-encoder"].kind

    assert flops > 0
    with providing(encoder), untrained_agent(TINY.setup, 3, index, poses, kind) as agent:
        assert train_agent(agent, quiet, until=0) == 0
        assert not agent.model.trains
        after = agent.model.encoder.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_without_a_provided_encoder_there_is_none_to_load():
    with pytest.raises(RuntimeError, match="providing"):
        load_pretrained()


def test_the_control_is_compared_on_all_factors_and_a_collapsed_agent_on_nothing():
    with untrained_agent(TINY.setup, 0, 0, shuffled_poses(0, TINY.setup)) as agent:
        train_agent(agent, quiet, until=0)
        snapshot = agent.published.snapshot
        assert compared_axes(agent, CONTROL, 2) == 2
        found = {}
        for collapsed in (False, True):
            info = replace(snapshot.peer_info, core_dim=3, collapsed=collapsed)
            agent.published = replace(agent.published, snapshot=replace(snapshot, peer_info=info))
            found[collapsed] = compared_axes(agent, "jepa", 2)
        kept = trained_agent(agent)
    assert found == {False: 3, True: 0}
    assert probe_scores(kept, 0)["state, core only"].score == 0


def test_all_agents_run_and_equal_seeds_give_equal_results():
    found = {(name, 0): run(name, 0, TINY, quiet) for name in EXPERIMENT.conditions(TINY)}
    again = run("patch-mixer", 0, TINY, quiet)
    for name, array in again.arrays.items():
        assert np.array_equal(array, found["patch-mixer", 0].arrays[name])
    assert again.flops > 0
    assert found["frozen-encoder", 0].flops > 0
    assert found[CONTROL, 0].flops == 0
    results = Results(found, [0])
    table = make_metrics(results, TINY)
    assert all(np.isfinite(metric.estimate.value) for metric in table)
    assert all(isinstance(note, str) for note in make_notes(results, TINY))
    for figure in stored_plots(EXPERIMENT, results, TINY).values():
        figure.canvas.draw()
