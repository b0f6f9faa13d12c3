"""Further encoders of a JEPA, each for what functions of the core so far cannot explain.

Slow factors fill a latent with powers and products of themselves, which are more predictable than the next
factors. A further encoder is therefore trained on what polynomials of the core so far leave of its latent
(deflation, as in Sprekeler, Zito and Wiskott 2014, Extended slow feature analysis, JMLR 15), and its
independent axes join the core. The latent keeps its dimensions: new axes take the place of the least
predictable ones.
`agents.training.stages` trains them.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from alignment.fit import solve_ridge
from alignment.polynomials import PolynomialFeatures


class Stage(nn.Module):
    """One further encoder and its new axes.

    Attributes:
        encoder: From normalized frames to latents, [N, C, H, W] -> [N, D].
        exponents: int64 [M, C], monomials of the core so far, see `alignment.polynomials`.
        functions_bounds: [2, C], least and largest core coordinates.
        functions_mean: [M], their means.
        functions: [M, R], their transform to white functions.
        coefficients: [R + 1, D], regression of the latent on a constant and these functions.
        origin: [D], mean of the residual.
        axes: [D, k], from the centered residual to the new axes.
    """

    exponents: Tensor
    functions_bounds: Tensor
    functions_mean: Tensor
    functions: Tensor
    coefficients: Tensor
    origin: Tensor
    axes: Tensor

    def __init__(
        self, encoder: nn.Module, features: PolynomialFeatures, coefficients: Tensor, origin: Tensor,
        axes: Tensor,
    ) -> None:  # fmt: skip
        """Keep an encoder, which is not trained further, and what its axes are computed from."""
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        buffers = {
            "functions_bounds": features.bounds, "functions_mean": features.mean,
            "functions": features.transform, "coefficients": coefficients, "origin": origin, "axes": axes,
        }  # fmt: skip
        self.register_buffer("exponents", features.exponents)
        for name, value in buffers.items():
            self.register_buffer(name, value.float())

    @property
    def features(self) -> PolynomialFeatures:
        """The functions of the core so far that are removed from the latent."""
        return PolynomialFeatures(self.exponents, self.functions_bounds, self.functions_mean, self.functions)

    def forward(self, latent: Tensor, core: Tensor) -> Tensor:
        """Return the new axes, [N, D] and [N, C] -> [N, k].

        Args:
            latent: Latents of `encoder`.
            core: Core coordinates so far of the same frames.
        """
        return (residual(latent, self.features(core), self.coefficients) - self.origin) @ self.axes

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor], prefix: str, encoder: nn.Module) -> "Stage":
        """Return a stage whose buffers have the shapes of those in a state dict, under a prefix."""
        names = ("exponents", "functions_bounds", "functions_mean", "functions")
        features = PolynomialFeatures(*(tensors[prefix + name] for name in names))
        return cls(
            encoder, features, *(tensors[prefix + name] for name in ("coefficients", "origin", "axes"))
        )


class StagedLatent(nn.Module):
    """The latent of several encoders: axes of the first, the least predictable replaced by later ones.

    Attributes:
        origin: [D], mean of the first encoder's latent.
        transform: [D, D], its white coordinates, the core first, each part by predictability.
        core_dim: int64 scalar, how many of them are its core.
        mean: [D], mean of the composed latent.
        prediction: [D, D], the least-squares map from one composed latent to the next, both centered.
    """

    origin: Tensor
    transform: Tensor
    core_dim: Tensor
    mean: Tensor
    prediction: Tensor

    def __init__(self, origin: Tensor, transform: Tensor, core_dim: int, stages: Sequence[Stage]) -> None:
        """Compose the first encoder's latent with the axes of stages; at first it predicts no change."""
        super().__init__()
        self.register_buffer("mean", torch.zeros_like(origin, dtype=torch.float32))
        self.register_buffer("prediction", torch.eye(len(origin)))
        self.register_buffer("origin", origin.float())
        self.register_buffer("transform", transform.float())
        self.register_buffer("core_dim", torch.tensor(core_dim))
        self._stages = nn.ModuleList(stages)

    @classmethod
    def like(
        cls, tensors: Mapping[str, Tensor], prefix: str, build_encoder: Callable[[], nn.Module]
    ) -> "StagedLatent | None":
        """Return one whose buffers have the shapes of those in a state dict; None if it has none.

        Args:
            tensors: The state dict.
            prefix: Prefix of the names of its tensors.
            build_encoder: Returns an encoder of the right sizes.
        """
        if prefix + "origin" not in tensors:
            return None
        stages = list[Stage]()
        while (start := f"{prefix}_stages.{len(stages)}.") + "origin" in tensors:
            stages.append(Stage.like(tensors, start, build_encoder()))
        return cls(tensors[prefix + "origin"], tensors[prefix + "transform"], 0, stages)

    @property
    def stages(self) -> list[Stage]:
        """The further encoders, in the order of training."""
        return [stage for stage in self._stages if isinstance(stage, Stage)]

    @property
    def encoders(self) -> list[nn.Module]:
        """Their encoders alone."""
        return [stage.encoder for stage in self.stages]

    def forward(self, first: Tensor, later: Sequence[Tensor]) -> Tensor:
        """Return the latent, float32 [N, D].

        Args:
            first: Latents of the first encoder, [N, D].
            later: Latents of the encoders of the stages, in their order.
        """
        coordinates = (first - self.origin) @ self.transform
        new = self.new_axes(coordinates[:, : int(self.core_dim)], later)
        return torch.cat([coordinates[:, : coordinates.shape[1] - new.shape[1]], new], 1)

    def predict(self, latent: Tensor) -> Tensor:
        """Return the composed latent expected at the next tick, [N, D] -> [N, D]."""
        return (latent - self.mean) @ self.prediction + self.mean

    @torch.no_grad()
    def fit_prediction(self, latent: Tensor) -> None:
        """Solve `prediction` on composed latents of consecutive ticks, [T, D]."""
        rows = latent.double()
        mean = rows.mean(0)
        x, y = rows[:-1] - mean, rows[1:] - mean
        self.mean.copy_(mean)
        self.prediction.copy_(solve_ridge(x.T @ x, x.T @ y, ridge=1e-4))

    def new_axes(self, core: Tensor, later: Sequence[Tensor]) -> Tensor:
        """Return the axes of all stages, [N, k], from the first core and the latents of their encoders."""
        new = core[:, :0]
        for stage, latent in zip(self.stages, later, strict=True):
            new = torch.cat([new, stage(latent, torch.cat([core, new], 1))], 1)
        return new


def residual(latent: Tensor, features: Tensor, coefficients: Tensor) -> Tensor:
    """Return what a regression on a constant and features leaves of latents, [N, D].

    Args:
        latent: [N, D].
        features: [N, R].
        coefficients: [R + 1, D], that of the constant first.
    """
    return latent - coefficients[0] - features @ coefficients[1:]
