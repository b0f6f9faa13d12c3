"""One affine map between two latent spaces, in the row-vector convention z_j ~ z_i @ W_ij + b_ij."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class LinearMap:
    """An affine map of row vectors: ``target ~ source @ weight + bias``.

    A stack of P maps is a `LinearMap` too: its bias has an axis of length one in place of the rows, so that
    applying, composing and inverting are the same expressions for one map and for many.

    Attributes:
        weight: [D_i, D_j], written W_ij in the paper; or a stack [P, D_i, D_j].
        bias: [D_j]; or a stack [P, 1, D_j].
    """

    weight: Tensor
    bias: Tensor

    def __post_init__(self) -> None:
        """Raise ValueError for shapes that do not make a map."""
        width = self.weight.shape[-1:]
        expected = width if self.weight.ndim == 2 else (*self.weight.shape[:1], 1, *width)
        if self.weight.ndim not in (2, 3) or self.bias.shape != torch.Size(expected):
            raise ValueError(
                "a map needs weight [D_i, D_j] with bias [D_j], or a stack [P, D_i, D_j] with [P, 1, D_j]; "
                f"got {tuple(self.weight.shape)} and {tuple(self.bias.shape)}"
            )

    @property
    def source_dim(self) -> int:
        """Dimensions of the source space, D_i."""
        return self.weight.shape[-2]

    @property
    def target_dim(self) -> int:
        """Dimensions of the target space, D_j."""
        return self.weight.shape[-1]

    def __call__(self, source: Tensor) -> Tensor:
        """Return translated embeddings, [..., D_i] -> [..., D_j], in the dtype of the map.

        Raises:
            ValueError: The embeddings have another dimension.
        """
        if source.shape[-1] != self.source_dim:
            raise ValueError(
                f"this map takes {self.source_dim} dimensions, got embeddings of {source.shape[-1]}; "
                "pass embeddings of the space it was fitted on"
            )
        return source.to(self.weight.dtype) @ self.weight + self.bias

    def then(self, other: "LinearMap") -> "LinearMap":
        """Return this map followed by another: W_ik = W_ij @ W_jk, b_ik = b_ij @ W_jk + b_jk.

        Raises:
            ValueError: The first map's target is not the second one's source.
        """
        if self.target_dim != other.source_dim:
            raise ValueError(
                f"the first map returns {self.target_dim} dimensions and the second takes "
                f"{other.source_dim}; compose maps that meet in one agent's space"
            )
        return LinearMap(self.weight @ other.weight, self.bias @ other.weight + other.bias)

    def inverse(self) -> "LinearMap":
        r"""Return the inverse map, ``z_i ~ (z_j - b) @ W^+``.

        The Moore-Penrose inverse ``W^+`` is the inverse of an invertible W and the transpose of a
        (semi-)orthogonal one; where W drops dimensions it returns the shortest vector that W maps to z_j.
        """
        back = torch.linalg.pinv(self.weight)
        return LinearMap(back, -self.bias @ back)
