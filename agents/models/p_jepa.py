"""P-JEPA: a JEPA that an auxiliary task keeps from collapse, and functions to be that task.

After Yu et al., arXiv:2509.12249: where dynamics are deterministic and both losses are zero, observations
that ever lead to different values of the auxiliary function have different codes. Nothing is promised
where the auxiliary loss stays far from zero.
"""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from agents.models.encoder import ConvEncoder, FrameEncoder, Normalise
from agents.models.losses import prediction_loss
from agents.models.settings import PJepaModelConfig


class Transition(nn.Module):
    """z + MLP(z, a): where an action leads, in latent space."""

    def __init__(self, dim: int, action_dim: int, hidden: int) -> None:
        """Build it for latents and actions of these dimensions."""
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim + action_dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, latent: Tensor, action: Tensor) -> Tensor:
        """Return the latent after the action, [N, D] and [N, A] -> [N, D]."""
        return latent + self.net(torch.cat([latent, action], dim=1))


class PJepa(nn.Module):
    r"""Encoder E, transition T and head P, which learn together.

    ``|T(E(o), a) - E(o')|^2 + c_p |P(E(o)) - p(o)|^2``, both squares averaged over their dimensions, so that
    c_p means the same at every width. There is no stop-gradient, no target network and no other term: the
    head alone keeps the codes apart.

    Attributes:
        dim: Dimensions of a code.
        transition: T, or nothing where dynamics are off.
        head: P, or nothing where it is off.
    """

    def __init__(self, config: PJepaModelConfig, frame_size: int, action_dim: int, target_dim: int) -> None:
        """Build it; weights come from torch's current generator.

        Args:
            config: Sizes and terms.
            frame_size: Side of the square frames, a multiple of 16.
            action_dim: Numbers that describe one action, A.
            target_dim: Values of the auxiliary function, P.

        Raises:
            ValueError: An action or a target of no numbers.
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

    def calibrate(self, frames: Tensor) -> None:
        """Take the mean picture and the spread, uint8 [N, H, W, C]."""
        self.encoder.calibrate(frames)

    def encode(self, frames: Tensor) -> Tensor:
        """Return codes, uint8 [N, H, W, C] -> float32 [N, D]."""
        return self.encoder(frames)

    def predict(self, latent: Tensor, action: Tensor) -> Tensor:
        """Return the latent that an action leads to, [N, D] and [N, A] -> [N, D].

        Raises:
            ValueError: This model learns no dynamics.
        """
        if self.transition is None:
            raise ValueError("p_jepa.dynamics is off: this model cannot predict")
        return self.transition(latent, action.to(latent))

    def loss(
        self, frames: Tensor, actions: Tensor, next_frames: Tensor, targets: Tensor
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return the loss of transitions and its named parts: "dynamics", "head", or both.

        Args:
            frames: o, uint8 [N, H, W, C].
            actions: a, float [N, A].
            next_frames: o', uint8 [N, H, W, C].
            targets: p(o), float [N, P]: rewards, functions of the scene, or what a `TargetFunction` returned.

        Raises:
            ValueError: The shapes do not belong together; a target of [N] would be spread to [N, N] unseen.
        """
        self._check(frames, actions, next_frames, targets)
        terms, latent = {}, None
        if self.transition is not None:
            latent, after = self.encode(torch.cat([frames, next_frames])).chunk(2)  # one pass for both
            terms["dynamics"] = prediction_loss(self.predict(latent, actions), after)
        if self.head is not None:
            latent = self.encode(frames) if latent is None else latent
            seen = latent.detach() if self.config.detached else latent
            terms["head"] = prediction_loss(self.head(seen), targets.to(latent))
        weights = {"dynamics": 1.0, "head": self.config.head_weight}
        loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        return loss, {name: term.item() for name, term in terms.items()}

    def _check(self, frames: Tensor, actions: Tensor, next_frames: Tensor, targets: Tensor) -> None:
        count = len(frames)
        wanted = [(count, size) for size in self.shape]
        found = [tuple(actions.shape), tuple(targets.shape)]
        if found != wanted or next_frames.shape != frames.shape:
            raise ValueError(
                f"{count} frames need as many next frames, actions {wanted[0]} and targets {wanted[1]}; "
                f"got {len(next_frames)}, {found[0]} and {found[1]}"
            )
        if not torch.isfinite(targets).all():
            raise ValueError(
                "the function that the head learns returned what is not finite; look for a division by 0"
            )


class TargetFunction(Protocol):
    """What the head learns to tell from a code: any fixed function of what is seen.

    Attributes:
        dim: Values that it returns for a frame, P.
    """

    dim: int

    def __call__(self, frames: Tensor) -> Tensor:
        """Return the function's values, uint8 [N, H, W, C] -> float32 [N, P]."""


class RandomNetworkTarget(nn.Module):
    """A convolutional network with random weights that never learns: it tells most frames apart.

    Frames of one scene differ in few pixels, and a random network nearly returns a constant for all of them,
    which would keep nothing from collapsing. `calibrate` therefore centres what it returns, and scales it to
    variance one on the mean over its dimensions.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, frame_size: int, seed: int, dim: int = 256, width: int = 32) -> None:
        """Build the network of a seed: equal seeds give equal functions, and torch's stream stays as it was.

        Args:
            frame_size: Side of the square frames, a multiple of 16.
            seed: What the weights follow from.
            dim: Values that it returns for a frame.
            width: Channels of the first convolution.
        """
        super().__init__()
        self.dim = dim
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net = ConvEncoder(frame_size, dim, width).requires_grad_(False)
        self.normalise = Normalise(frame_size)
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(()))

    @torch.no_grad()
    def calibrate(self, frames: Tensor) -> None:
        """Fix centre and scale on these frames, uint8 [N, H, W, C]; equal frames fix equal functions."""
        self.normalise.fit(frames.to(self.centre.device))
        raw = self._raw(frames)
        self.centre.copy_(raw.mean(0))
        self.scale.copy_(raw.var(0, correction=0).mean().clamp_min(1e-12).rsqrt())

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Tensor:
        """Return the network's values, uint8 [N, H, W, C] -> float32 [N, P]."""
        return (self._raw(frames) - self.centre) * self.scale

    def _raw(self, frames: Tensor) -> Tensor:
        chunks = frames.to(self.centre.device).split(256)
        return torch.cat([self.net(self.normalise(chunk, torch.float32)) for chunk in chunks])


def _head(dim: int, hidden: int, values: int) -> nn.Module:
    return nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, values))
