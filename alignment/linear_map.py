"""One affine map between two latent spaces, in the row-vector convention z_j ~ z_i @ W_ij + b_ij."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class LinearMap:
    """Send row vectors of one space to another: ``target ~ source @ weight + bias``.

    A stack of P maps is a ``LinearMap`` too: the bias then keeps an axis of length one where the anchors
    stand, so that applying, composing and undoing are the same expressions for one map and for many.

    Attributes:
        weight: [D_i, D_j], written W_ij in the paper; or a stack [P, D_i, D_j].
        bias: [D_j]; or a stack [P, 1, D_j].
    """

    weight: Tensor
    bias: Tensor

    def __post_init__(self) -> None:
        """Refuse shapes that do not make a map."""
        width = self.weight.shape[-1:]
        expected = width if self.weight.ndim == 2 else (*self.weight.shape[:1], 1, *width)
        if self.weight.ndim not in (2, 3) or self.bias.shape != torch.Size(expected):
            raise ValueError(
                "a map needs weight [D_i, D_j] with bias [D_j], or a stack [P, D_i, D_j] with [P, 1, D_j]; "
                f"got {tuple(self.weight.shape)} and {tuple(self.bias.shape)}"
            )

    @classmethod
    def identity(cls, dim: int) -> "LinearMap":
        """Return the map that leaves a space of ``dim`` dimensions as it is."""
        return cls(torch.eye(dim, dtype=torch.float64), torch.zeros(dim, dtype=torch.float64))

    @property
    def source_dim(self) -> int:
        """Dimension D_i of the space the map reads."""
        return self.weight.shape[-2]

    @property
    def target_dim(self) -> int:
        """Dimension D_j of the space the map writes."""
        return self.weight.shape[-1]

    def __call__(self, source: Tensor) -> Tensor:
        """Translate embeddings, [..., D_i] -> [..., D_j], in the precision of the map."""
        if source.shape[-1] != self.source_dim:
            raise ValueError(
                f"this map reads {self.source_dim} dimensions, got embeddings of {source.shape[-1]}; "
                "give it vectors of the space it was fitted on"
            )
        return source.to(self.weight.dtype) @ self.weight + self.bias

    def then(self, other: "LinearMap") -> "LinearMap":
        """Return this map followed by another: W_ik = W_ij @ W_jk, b_ik = b_ij @ W_jk + b_jk."""
        if self.target_dim != other.source_dim:
            raise ValueError(
                f"the first map writes {self.target_dim} dimensions and the second reads "
                f"{other.source_dim}; chain maps that meet in one agent's space"
            )
        return LinearMap(self.weight @ other.weight, self.bias @ other.weight + other.bias)

    def inverse(self) -> "LinearMap":
        r"""Return the map back, ``z_i ~ (z_j - b) @ W^+``.

        The Moore-Penrose inverse ``W^+`` is the inverse of an invertible W and the transpose of a
        (semi-)orthogonal one; where W drops dimensions it returns the shortest vector that W sends here.
        """
        back = torch.linalg.pinv(self.weight)
        return LinearMap(back, -self.bias @ back)

    def unstack(self) -> list["LinearMap"]:
        """Return the maps of a stack one by one; a single map is a list of itself."""
        if self.weight.ndim == 2:
            return [self]
        return [
            LinearMap(weight, bias.squeeze(0)) for weight, bias in zip(self.weight, self.bias, strict=True)
        ]
