"""Learning methods that experiments compare with JEPAs."""

import numpy as np
import pytest
import torch

from agents.models.checker import check_world_model
from agents.models.registry import build_world_model
from agents.models.settings import ModelConfig
from env.recording import SensorData
from social_jepa.experiments.common.baselines import PixelPca, Supervised, augment
from social_jepa.experiments.common.methods import BASELINES

SIZES = ModelConfig(dim=4, width=4, hidden=16)


def random_frames(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["Autoencoder", "SimClr"])
def test_baselines_meet_the_contract_of_world_models(name):
    models = [build_world_model(BASELINES + name, SIZES, 16, (seed,)) for seed in range(2)]

    check_world_model(models[0], 16, 4, lambda: models[1])


def test_augmentations_keep_brightness_and_differ():
    frames = random_frames(4, 32, 32, 3) // 4 + 96
    first, second = (augment(frames, torch.Generator().manual_seed(seed)) for seed in (0, 1))

    assert first.shape == frames.shape
    assert first.dtype == torch.uint8
    assert not torch.equal(first, second)
    assert (first.float().mean((1, 2, 3)) / frames.float().mean((1, 2, 3)) - 1).abs().max() < 0.25


def test_pixel_pca_finds_the_planted_directions_of_frames():
    model = PixelPca(SIZES, 16)
    factors = torch.randn(64, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([8.0, 4, 2, 1])
    directions = torch.linalg.qr(torch.randn(768, 4, generator=torch.Generator().manual_seed(1)))[0]
    frames = (128 + 10 * factors @ directions.T).round().to(torch.uint8).view(64, 16, 16, 3)
    model.calibrate(frames)

    latents = model.encode(frames)
    # rounding to bytes is about as large as the contribution of the weakest direction
    assert latents.var(0).argsort(descending=True).tolist() == [0, 1, 2, 3]
    assert all(np.corrcoef(latents[:, k], factors[:, k])[0, 1] ** 2 > 0.8 for k in range(2))


def test_a_supervised_model_learns_positions_and_names_missing_targets():
    model = build_world_model(BASELINES + "Supervised", SIZES, 16, (0,))
    assert isinstance(model, Supervised)
    frames, generator = random_frames(4, 2, 16, 16, 3), torch.Generator()
    targets = model.encode(frames.flatten(0, 1))[:, :2].detach().view(4, 2, 2).numpy()

    loss = model.loss(frames, generator, SensorData(targets=targets))[0]
    assert loss.item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="positions"):
        model.loss(frames, generator)
