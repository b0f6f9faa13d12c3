"""The two predictors of the next latent."""

import torch
from torch import Tensor, nn

from alignment.fit import solve_ridge


class ResidualPredictor(nn.Module):
    """z + MLP(z): starts near the identity, a good guess for slow dynamics."""

    def __init__(self, dim: int, hidden: int = 64) -> None:
        """Build it for latents of this dimension."""
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, latent: Tensor) -> Tensor:
        """Return the predicted next latent, [N, D] -> [N, D]."""
        return latent + self.net(latent)


class LinearPredictor(nn.Module):
    """The least-squares map from one latent to the next, as a running average of closed-form solutions."""

    weight: Tensor
    mean: Tensor

    def __init__(self, dim: int, momentum: float = 0.9) -> None:
        """Start as the identity.

        Args:
            dim: Dimensions of a latent.
            momentum: Weight of the old estimate at each update.
        """
        super().__init__()
        self.momentum = momentum
        self.register_buffer("weight", torch.eye(dim))
        self.register_buffer("mean", torch.zeros(dim))

    @torch.no_grad()
    def update(self, context: Tensor, target: Tensor) -> None:
        """Move the estimate towards the solution on these pairs, [N, D] each."""
        mean = (context.mean(0) + target.mean(0)) / 2
        x, y = (context - mean).double(), (target - mean).double()
        solution = solve_ridge(x.T @ x, x.T @ y, ridge=1e-4)
        self.weight.lerp_(solution.to(self.weight), 1 - self.momentum)
        self.mean.lerp_(mean, 1 - self.momentum)

    def forward(self, latent: Tensor) -> Tensor:
        """Return the predicted next latent, [N, D] -> [N, D]."""
        return (latent - self.mean) @ self.weight + self.mean
