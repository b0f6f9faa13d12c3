"""An attacker that turns embeddings back into frames, and how near its frames come: PSNR and SSIM."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from alignment.fit import fit_ridge

SSIM_SIGMA, SSIM_RADIUS = 1.5, 5  # of the Gaussian window, 11 x 11 pixels
SSIM_K: Final = (0.01, 0.03)
CHECKED = 0.125  # share of the leaked pairs that an inverter is chosen on, and not fitted on
CHECK_EVERY = 50  # steps
RATE, BATCH = 2e-3, 64


@dataclass(frozen=True)
class InverterConfig:
    """How the network of the attacker is trained."""

    steps: int = 250
    hidden: int = 256
    channels: int = 64


def psnr(frames: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the peak signal-to-noise ratio of each frame in dB, [K]; frames are [K, H, W, 3], 0 to 1."""
    error = np.square(frames - truth).mean((1, 2, 3))
    return -10 * np.log10(np.maximum(error, 1e-12))


def ssim(frames: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the structural similarity of each frame, [K], the mean over pixels and colors.

    Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity": a Gaussian
    window of 11 x 11 pixels and standard deviation 1.5; pixels whose window leaves the frame are left out.

    Args:
        frames: [K, H, W, 3], 0 to 1.
        truth: [K, H, W, 3].
    """

    def blurred(values: np.ndarray) -> np.ndarray:
        found = gaussian_filter(
            values, (0, SSIM_SIGMA, SSIM_SIGMA, 0), radius=(0, SSIM_RADIUS, SSIM_RADIUS, 0)
        )
        inner: np.ndarray = found[:, SSIM_RADIUS:-SSIM_RADIUS, SSIM_RADIUS:-SSIM_RADIUS]
        return inner

    x, y = frames.astype(float), truth.astype(float)
    mean_x, mean_y = blurred(x), blurred(y)
    var_x, var_y = blurred(x * x) - mean_x**2, blurred(y * y) - mean_y**2
    both = blurred(x * y) - mean_x * mean_y
    one, two = SSIM_K[0] ** 2, SSIM_K[1] ** 2
    similar = (2 * mean_x * mean_y + one) * (2 * both + two)
    return np.asarray((similar / ((mean_x**2 + mean_y**2 + one) * (var_x + var_y + two))).mean((1, 2, 3)))


class Inverter(nn.Module):
    """Embeddings [K, D] to frames [K, 3, H, W]: two layers, then three that double the resolution each."""

    def __init__(self, dim: int, mean: Tensor, config: InverterConfig) -> None:
        """Start from the mean frame.

        Args:
            dim: D.
            mean: [3, H, W], the mean of the leaked frames; H and W are multiples of 8.
            config: Widths.
        """
        super().__init__()
        size, width = mean.shape[-1] // 8, config.channels
        self.register_buffer("mean", mean)
        self.body = nn.Sequential(
            nn.Linear(dim, config.hidden), nn.ReLU(), nn.Linear(config.hidden, width * size**2), nn.ReLU(),
            nn.Unflatten(1, (width, size, size)),
            nn.ConvTranspose2d(width, width // 2, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(width // 2, width // 4, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(width // 4, 3, 4, 2, 1),
        )  # fmt: skip

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return frames."""
        found: Tensor = self.mean + self.body(embeddings)
        return found


def train_inverter(
    embeddings: Tensor, frames: Tensor, checked: tuple[Tensor, Tensor], config: InverterConfig, seed: int
) -> tuple[Inverter, float]:
    """Return a trained inverter and its mean squared error on pairs that it was not fitted on.

    Args:
        embeddings: [L, D].
        frames: [L, 3, H, W], 0 to 1.
        checked: Further pairs; of the networks at every CHECK_EVERY steps the best one on them is kept.
        config: Widths and steps.
        seed: Of the first weights and of the batches.
    """
    torch.manual_seed(seed)
    network = Inverter(embeddings.shape[1], frames.mean(0), config)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2 * RATE, config.steps)
    best, weights = float("inf"), network.state_dict()
    for step in range(1, config.steps + 1):
        rows = torch.randint(len(frames), (min(BATCH, len(frames)),))
        loss = (network(embeddings[rows]) - frames[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % CHECK_EVERY == 0 or step == config.steps:
            with torch.no_grad():
                error = float((network(checked[0]) - checked[1]).square().mean())
            if error < best:
                best, weights = error, {name: each.clone() for name, each in network.state_dict().items()}
    network.load_state_dict(weights)
    return network, best


def invert(
    leaked: tuple[Tensor, Tensor], seen: Tensor, config: InverterConfig, seed: int
) -> tuple[np.ndarray, str]:
    """Return frames [K, H, W, 3] that the attacker makes of embeddings, and which of its two inverters did.

    A ridge regression and a network are fitted on most of the leaked pairs, and the better one on the others
    is taken.

    Args:
        leaked: Embeddings [L, D] and their frames [L, H, W, 3], 0 to 1.
        seen: [K, D], embeddings without frames.
        config: Of the network.
        seed: Of the network.
    """
    z, frames = leaked[0].float(), leaked[1].permute(0, 3, 1, 2).float().contiguous()
    scale = z.std(0).clamp_min(1e-6)
    z, seen = z / scale, seen.float() / scale
    check = torch.arange(len(z)) % round(1 / CHECKED) == 0
    fit = (z[~check], frames[~check])
    ridge = fit_ridge(fit[0], fit[1].flatten(1))
    ridge_error = float((ridge(z[check].double()) - frames[check].flatten(1)).square().mean())
    network, error = train_inverter(*fit, (z[check], frames[check]), config, seed)
    with torch.no_grad():
        if error < ridge_error:
            found, name = network(seen), "network"
        else:
            found, name = ridge(seen.double()).reshape(len(seen), *frames.shape[1:]), "ridge"
    return found.clamp(0, 1).permute(0, 2, 3, 1).double().numpy(), name


def nearest_frames(leaked: tuple[Tensor, Tensor], seen: Tensor) -> np.ndarray:
    """Return, for each embedding, the frame of the nearest leaked one, [K, H, W, 3]."""
    rows = torch.cdist(seen.double(), leaked[0].double()).argmin(1)
    return leaked[1][rows].double().numpy()
