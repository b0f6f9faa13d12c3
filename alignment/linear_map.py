"""One affine map between two latent spaces, in the row-vector convention z_j ~ z_i @ W_ij + b_ij."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from alignment.arrays import AlignmentError, Array, check_devices, like, to_tensor

KEPT: Final = 0.5  # singular value from which a map made of rotations keeps a direction: 1, or 0 and noise


class MapArrays(NamedTuple):
    """A map as NumPy arrays: ``target ~ source @ weight + bias``.

    Attributes:
        weight: [D_i, D_j].
        bias: [D_j].
    """

    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class LinearMap:
    """An affine map of row vectors: ``target ~ source @ weight + bias``.

    A stack of P maps is a `LinearMap` too: its bias has an axis of length one in place of the rows, so that
    applying, composing and inverting are the same expressions for one map and for many.

    A fit determines a map only in the directions that its pairs span: four ticks repeated 64 times span no
    more than four ticks do. What it does in the other directions is arbitrary, and ``undetermined`` counts
    them. ``repr`` shows both numbers.

    Attributes:
        weight: [D_i, D_j], written W_ij in the paper; or a stack [P, D_i, D_j]. NumPy arrays become tensors,
            and whole numbers float64.
        bias: [D_j]; or a stack [P, 1, D_j].
        rank: Number of directions that the fitted pairs determine; None where the map was not fitted on one
            set of pairs: written down, read from a file, or a stack.
        undetermined: Number of directions that they leave undetermined; None where rank is.
    """

    weight: Tensor
    bias: Tensor
    rank: int | None = None
    undetermined: int | None = None

    def __post_init__(self) -> None:
        """Raise AlignmentError for parts that do not make a map."""
        for name in ("weight", "bias"):
            object.__setattr__(self, name, to_tensor(getattr(self, name), f"the {name} of a map"))
        check_devices(weight=self.weight, bias=self.bias)
        width = self.weight.shape[-1:]
        expected = width if self.weight.ndim == 2 else (*self.weight.shape[:1], 1, *width)
        if self.weight.ndim not in (2, 3) or self.bias.shape != torch.Size(expected):
            raise AlignmentError(
                "a map needs weight [D_i, D_j] with bias [D_j], or a stack [P, D_i, D_j] with [P, 1, D_j]",
                f"got {tuple(self.weight.shape)} and {tuple(self.bias.shape)}",
            )

    def __repr__(self) -> str:
        """Return sizes, and what the fitted pairs determined."""
        stack = f"{len(self.weight)} x " if self.weight.ndim == 3 else ""
        text = f"{stack}{self.source_dim} -> {self.target_dim}"
        if self.undetermined is not None:
            text += f", rank {self.rank}, {self.undetermined} undetermined"
        return f"{type(self).__name__}({text})"

    @property
    def source_dim(self) -> int:
        """Dimensions of the source space, D_i."""
        return self.weight.shape[-2]

    @property
    def target_dim(self) -> int:
        """Dimensions of the target space, D_j."""
        return self.weight.shape[-1]

    def __call__(self, source: Array) -> Array:
        """Return translated embeddings, [..., D_i] -> [..., D_j], in the dtype of the map.

        Args:
            source: A tensor on the device of the map, or a NumPy array; the result is of the same type.

        Raises:
            AlignmentError: The embeddings have another dimension, or are no array of real numbers.
        """
        rows = to_tensor(source, "source")
        if rows.shape[-1:] != (self.source_dim,):
            raise AlignmentError(
                f"this map takes {self.source_dim} dimensions, got embeddings of "
                f"{rows.shape[-1] if rows.ndim else 'a single number'}",
                "pass embeddings of the space it was fitted on",
            )
        check_devices(map=self.weight, source=rows)
        return like(rows.to(self.weight.dtype) @ self.weight + self.bias, source)

    def numpy(self) -> MapArrays:
        """Return weight and bias as NumPy arrays, copied from the device of the map if it is not the CPU."""
        return MapArrays(*(part.detach().cpu().numpy() for part in (self.weight, self.bias)))

    def then(self, other: "LinearMap") -> "LinearMap":
        """Return this map followed by another: W_ik = W_ij @ W_jk, b_ik = b_ij @ W_jk + b_jk.

        Its undetermined directions are at most those of both together.

        Raises:
            AlignmentError: The first map's target is not the second one's source.
        """
        if self.target_dim != other.source_dim:
            raise AlignmentError(
                f"the first map returns {self.target_dim} dimensions and the second takes {other.source_dim}",
                "compose maps that meet in one agent's space",
            )
        rank = undetermined = None
        if self.undetermined is not None and other.undetermined is not None:
            least = min(self.source_dim, self.target_dim, other.target_dim)
            undetermined = min(self.undetermined + other.undetermined, least)
            rank = least - undetermined
        kind = torch.promote_types(self.weight.dtype, other.weight.dtype)
        weight, bias, onward = (part.to(kind) for part in (self.weight, self.bias, other.weight))
        return LinearMap(weight @ onward, bias @ onward + other.bias.to(kind), rank, undetermined)

    def widened(self, source_dim: int) -> "LinearMap":
        """Return the map from a space with further dimensions behind those of the source; it drops them.

        Args:
            source_dim: Dimensions of that space, at least those of the source.
        """
        rows = self.weight.new_zeros(*self.weight.shape[:-2], source_dim - self.source_dim, self.target_dim)
        return LinearMap(torch.cat([self.weight, rows], -2), self.bias, self.rank, self.undetermined)

    def transposed(self) -> "LinearMap":
        """Return the linear part of the way back, W^T: the inverse of a rotation that drops directions."""
        bias = self.weight.new_zeros(*self.bias.shape[:-1], self.source_dim)
        return LinearMap(self.weight.mT, bias, self.rank, self.undetermined)

    def inverse(self) -> "LinearMap":
        r"""Return the inverse map, ``z_i ~ (z_j - b) @ W^+``.

        The Moore-Penrose inverse ``W^+`` is the inverse of an invertible W and the transpose of a
        (semi-)orthogonal one; where W drops dimensions it returns the shortest vector that W maps to z_j.
        """
        back = torch.linalg.pinv(self.weight.double())
        kind = self.weight.dtype
        return LinearMap(back.to(kind), (-self.bias.double() @ back).to(kind), self.rank, self.undetermined)
