"""P-JEPA: a JEPA that an auxiliary task keeps from collapse, and a random target for that task.

After Yu et al., arXiv:2509.12249: where dynamics are deterministic and both losses are zero, observations
that ever lead to different values of the auxiliary function have different latents. There is no guarantee
where the auxiliary loss stays far from zero.
"""

from collections.abc import Mapping, Sequence
from math import isfinite

import torch
from torch import Tensor, nn

from agents.models.encoder import ConvEncoder, FrameEncoder, Normalize
from agents.models.losses import prediction_loss
from agents.models.settings import PJepaModelConfig


class Transition(nn.Module):
    """z + MLP(z, a): the latent after an action."""

    def __init__(self, dim: int, action_dim: int, hidden: int) -> None:
        """Build it for latents and actions of these dimensions."""
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim + action_dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, latent: Tensor, action: Tensor) -> Tensor:
        """Return the latent after the action, [N, D] and [N, A] -> [N, D]."""
        return latent + self.net(torch.cat([latent, action], dim=1))


class PJepa(nn.Module):
    r"""Encoder E, transition T and head P, trained together.

    ``|T(E(o), a) - E(o')|^2 + c_p |P(E(o)) - p(o)|^2``, both squares averaged over their dimensions, so that
    c_p means the same at every width. Where the components of p are functions of different kinds, such as
    reward and value, each can have a weight of its own: ``sum_k w_k (P_k(E(o)) - p_k(o))^2``. There is no
    stop-gradient, no target network and no other term: the head alone prevents collapse.

    Attributes:
        dim: Dimensions of a latent, D.
        transition: T; None where p_jepa.dynamics is off.
        head: P; None where p_jepa.auxiliary is off.
        target_weights: w, [P]; None where all components weigh 1 / P.
    """

    target_weights: Tensor | None

    def __init__(
        self, config: PJepaModelConfig, frame_size: int, action_dim: int, target_dim: int,
        target_weights: Sequence[float] | None = None,
    ) -> None:  # fmt: skip
        """Build it; weights come from torch's current generator.

        Args:
            config: Sizes and terms.
            frame_size: Side of the square frames, a multiple of 16.
            action_dim: Dimensions of an action, A.
            target_dim: Dimensions of the target function, P.
            target_weights: w, a weight for each component of the target; by default 1 / P for all.

        Raises:
            ValueError: A dimension is below 1, or the weights are not P numbers of 0 or more, one above 0.
        """
        super().__init__()
        if action_dim < 1 or target_dim < 1:
            raise ValueError(f"action_dim={action_dim} and target_dim={target_dim} must be at least 1")
        self.config = config
        self.dim = config.encoder.dim
        self.shape = (action_dim, target_dim)
        self.encoder = FrameEncoder(config.encoder, frame_size)
        self.transition = (
            Transition(self.dim, action_dim, config.transition_hidden) if config.dynamics else None
        )
        self.head = _head(self.dim, config.head_hidden, target_dim) if config.auxiliary else None
        weights = None if target_weights is None else _checked_weights(target_weights, target_dim)
        self.register_buffer("target_weights", weights, persistent=False)  # a setting, no result of training

    def calibrate(self, frames: Tensor) -> None:
        """Fix the mean frame and the scale, uint8 [N, H, W, C]."""
        self.encoder.calibrate(frames)

    def encode(self, frames: Tensor) -> Tensor:
        """Return latents, uint8 [N, H, W, C] -> float32 [N, D]."""
        return self.encoder(frames)

    def predict(self, latent: Tensor, action: Tensor) -> Tensor:
        """Return the latent after an action, [N, D] and [N, A] -> [N, D].

        Raises:
            ValueError: This model has no dynamics.
        """
        if self.transition is None:
            raise ValueError("this model cannot predict: set p_jepa.dynamics=true")
        return self.transition(latent, action.to(latent))

    def loss(
        self, frames: Tensor, actions: Tensor, next_frames: Tensor, targets: Tensor
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return the loss of transitions and its terms by name: "dynamics", "head", or both.

        Args:
            frames: o, uint8 [N, H, W, C].
            actions: a, float [N, A].
            next_frames: o', uint8 [N, H, W, C].
            targets: p(o), float [N, P]: rewards, positions, or the output of `RandomNetworkTarget`.

        Raises:
            ValueError: The shapes do not match; targets of [N] would silently broadcast to [N, N].
        """
        self._check(frames, actions, next_frames, targets)
        terms, latent = {}, None
        if self.transition is not None:
            latent, next_latent = self.encode(torch.cat([frames, next_frames])).chunk(2)  # one pass for both
            terms["dynamics"] = prediction_loss(self.predict(latent, actions), next_latent)
        if self.head is not None:
            latent = self.encode(frames) if latent is None else latent
            inputs = latent.detach() if self.config.detached else latent
            terms["head"] = self._head_loss(self.head(inputs), targets.to(latent))
        weights = {"dynamics": 1.0, "head": self.config.head_weight}
        loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        return loss, {name: term.item() for name, term in terms.items()}

    def _head_loss(self, predicted: Tensor, targets: Tensor) -> Tensor:
        if self.target_weights is None:
            return prediction_loss(predicted, targets)
        return (predicted - targets).square().mean(0) @ self.target_weights

    def _check(self, frames: Tensor, actions: Tensor, next_frames: Tensor, targets: Tensor) -> None:
        count = len(frames)
        expected = [(count, size) for size in self.shape]
        found = [tuple(actions.shape), tuple(targets.shape)]
        if found != expected or next_frames.shape != frames.shape:
            raise ValueError(
                f"{count} frames need as many next frames, actions {expected[0]} and targets {expected[1]}; "
                f"got {len(next_frames)}, {found[0]} and {found[1]}"
            )
        if not torch.isfinite(targets).all():
            raise ValueError(
                "the target function returned a value that is not finite; look for a division by 0"
            )


class RandomNetworkTarget(nn.Module):
    """A frozen convolutional network with random weights, whose output differs between most frames.

    Frames of one scene differ in few pixels, and a random network returns almost a constant for all of them,
    which would not prevent collapse. `calibrate` therefore centers the output and scales it to a mean
    variance of one over its dimensions.

    Attributes:
        dim: Dimensions of the output, P.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, frame_size: int, seed: int, dim: int = 256, width: int = 32) -> None:
        """Build the network of a seed; torch's global generator is restored.

        Args:
            frame_size: Side of the square frames, a multiple of 16.
            seed: Seed of the weights; equal seeds give equal functions.
            dim: Dimensions of the output.
            width: Channels of the first convolution.
        """
        super().__init__()
        self.dim = dim
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net = ConvEncoder(frame_size, dim, width).requires_grad_(False)
        self.normalize = Normalize(frame_size)
        self.register_buffer("center", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(()))

    @torch.no_grad()
    def calibrate(self, frames: Tensor) -> None:
        """Fix the center and scale of the output on frames, uint8 [N, H, W, C]."""
        self.normalize.fit(frames.to(self.center.device))
        raw = self._raw(frames)
        self.center.copy_(raw.mean(0))
        self.scale.copy_(raw.var(0, correction=0).mean().clamp_min(1e-12).rsqrt())

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Tensor:
        """Return the calibrated output, uint8 [N, H, W, C] -> float32 [N, P]."""
        return (self._raw(frames) - self.center) * self.scale

    def _raw(self, frames: Tensor) -> Tensor:
        chunks = frames.to(self.center.device).split(256)
        return torch.cat([self.net(self.normalize(chunk, torch.float32)) for chunk in chunks])


def _checked_weights(weights: Sequence[float], target_dim: int) -> Tensor:
    valid = len(weights) == target_dim and all(isfinite(weight) and weight >= 0 for weight in weights)
    if not valid or not any(weights):
        raise ValueError(
            f"target_weights must be {target_dim} finite numbers of 0 or more, one above 0, "
            f"got {list(weights)}"
        )
    return torch.tensor(weights, dtype=torch.float32)


def _head(dim: int, hidden: int, values: int) -> nn.Module:
    return nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, values))
