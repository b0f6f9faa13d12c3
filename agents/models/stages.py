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

from agents.models.predictors import LinearPredictor
from alignment.linear_map import LinearMap
from alignment.polynomials import PolynomialFeatures


class Stage(nn.Module):
    """One further encoder and its new axes.

    Attributes:
        encoder: From normalized frames to latents, [N, C, H, W] -> [N, D].
        exponents: int64 [M, C], monomials of the core so far, see `alignment.polynomials`.
        functions_bounds: [2, C], least and largest core coordinates.
        functions_mean: [M], their means.
        functions: [M, R], their transform to white functions.
        weight: [R, D], regression of the latent on these functions.
        bias: [D], its constant.
        origin: [D], mean of what the regression leaves.
        axes: [D, k], from what it leaves, centered, to the new axes.
    """

    exponents: Tensor
    functions_bounds: Tensor
    functions_mean: Tensor
    functions: Tensor
    weight: Tensor
    bias: Tensor
    origin: Tensor
    axes: Tensor

    def __init__(
        self, encoder: nn.Module, features: PolynomialFeatures, regression: LinearMap, origin: Tensor,
        axes: Tensor,
    ) -> None:  # fmt: skip
        """Keep an encoder, which is not trained further, and what its axes are computed from."""
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        encoder.zero_grad(set_to_none=True)  # clipping adds up the gradients of all parameters of a model
        buffers = {
            "functions_bounds": features.bounds, "functions_mean": features.mean,
            "functions": features.transform, "weight": regression.weight, "bias": regression.bias,
            "origin": origin, "axes": axes,
        }  # fmt: skip
        self.register_buffer("exponents", features.exponents)
        for name, value in buffers.items():
            # as after a checkpoint: some processors add columns and rows in other orders
            self.register_buffer(name, value.float().contiguous())

    @property
    def features(self) -> PolynomialFeatures:
        """The functions of the core so far that are removed from the latent."""
        return PolynomialFeatures(self.exponents, self.functions_bounds, self.functions_mean, self.functions)

    def forward(self, latent: Tensor, core: Tensor) -> Tensor:
        """Return the new axes, [..., D] and [..., C] -> [..., k].

        Args:
            latent: Latents of `encoder`.
            core: Core coordinates so far of the same frames.
        """
        explained = self.features(core) @ self.weight + self.bias
        return (latent - explained - self.origin) @ self.axes

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor], prefix: str, encoder: nn.Module) -> "Stage":
        """Return a stage whose buffers have the shapes of those in a state dict, under a prefix."""
        names = ("exponents", "functions_bounds", "functions_mean", "functions")
        features = PolynomialFeatures(*(tensors[prefix + name] for name in names))
        regression = LinearMap(tensors[prefix + "weight"], tensors[prefix + "bias"])
        return cls(encoder, features, regression, tensors[prefix + "origin"], tensors[prefix + "axes"])


class StagedLatent(nn.Module):
    """The latent of several encoders: axes of the first, the least predictable replaced by later ones.

    Attributes:
        origin: [D], mean of the first encoder's latent.
        transform: [D, D], its white coordinates, the core first, each part by predictability.
        core_dim: int64 scalar, how many of them are its core.
        predictor: From one composed latent to the next.
    """

    origin: Tensor
    transform: Tensor
    core_dim: Tensor

    def __init__(self, origin: Tensor, transform: Tensor, core_dim: int, stages: Sequence[Stage]) -> None:
        """Compose the first encoder's latent with the axes of stages; at first it predicts no change."""
        super().__init__()
        self.predictor = LinearPredictor(len(origin), momentum=0.0)
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
        core = coordinates[:, : int(self.core_dim)]
        for stage, latent in zip(self.stages, later, strict=True):
            core = torch.cat([core, stage(latent, core)], 1)
        return self.join(coordinates, core)

    def join(self, coordinates: Tensor, core: Tensor) -> Tensor:
        """Return the latent from coordinates of the first encoder [..., D] and the core of all, [..., C]."""
        new = core[..., int(self.core_dim) :]
        return torch.cat([coordinates[..., : coordinates.shape[-1] - new.shape[-1]], new], -1)
