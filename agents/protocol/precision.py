"""Embeddings as bytes in three precisions, and metrics; what a peer sends is checked before it is used.

``float32`` and ``float16`` are little-endian numbers, row by row. ``int8`` is symmetric quantization: one
scale for each dimension, ``max |x| / 127`` over the rows, as float32, then ``round(x / scale)`` as signed
bytes. The error of a number is at most half a scale, about 1 % of a standard deviation.
"""

from typing import Final

import numpy as np

from agents.protocol.settings import NUMBER_BYTES, Precision, embedding_bytes
from agents.protocol.wire import MessageError

LEVELS: Final = 127  # of either sign; -128 is never sent, so that equal embeddings are equal bytes
MAX_ABS_VALUE: Final = 1e6  # of one number in an embedding
MAX_FLOAT16: Final = 65504.0
METRIC_ROUNDING: Final = 1e-5  # of the largest eigenvalue: float32 rounds small ones below zero


def pack_embeddings(embeddings: np.ndarray, precision: Precision) -> bytes:
    """Return embeddings [rows, dim] as bytes; numbers beyond the range of float16 become its largest."""
    if precision == "float32":
        return embeddings.astype("<f4", copy=False).tobytes()
    if precision == "float16":
        return embeddings.clip(-MAX_FLOAT16, MAX_FLOAT16).astype("<f2").tobytes()
    largest = np.maximum(embeddings.max(axis=0, initial=0), -embeddings.min(axis=0, initial=0))
    scales = (largest / LEVELS).astype("<f4")
    levels = np.divide(embeddings, scales, out=np.zeros(embeddings.shape, np.float32), where=scales > 0)
    levels.round(out=levels).clip(-LEVELS, LEVELS, out=levels)
    return scales.tobytes() + levels.astype("i1").tobytes()


def unpack_embeddings(data: bytes, rows: int, dim: int, precision: Precision) -> np.ndarray:
    """Return embeddings from a peer, float32 [rows, dim].

    Raises:
        MessageError: The bytes are not rows * dim numbers of this precision, or one of them is not finite,
            too large, or no level.
    """
    size = embedding_bytes(rows, dim, precision)
    if len(data) != size:
        raise MessageError(f"{rows} rows of {dim} numbers take {size} bytes in {precision}, not {len(data)}")
    dtype = {"float32": "<f4", "float16": "<f2", "int8": "i1"}[precision]
    numbers = np.frombuffer(data, dtype, rows * dim, len(data) - rows * dim * NUMBER_BYTES[precision])
    with np.errstate(invalid="ignore"):  # a signaling NaN, which a comparison refuses
        embeddings = numbers.reshape(rows, dim).astype(np.float32)
        if precision == "int8":
            scales = np.frombuffer(data, "<f4", dim)
            if not ((scales >= 0) & (scales < MAX_ABS_VALUE / LEVELS)).all():
                raise MessageError("a scale of an embedding is negative, not finite or too large")
            if numbers.min(initial=0) < -LEVELS:
                raise MessageError(f"a level of an embedding lies below -{LEVELS}")
            embeddings *= scales
        # refuses NaN, which minimum and maximum keep, infinities and numbers whose square would overflow
        if not -MAX_ABS_VALUE < embeddings.min(initial=0) <= embeddings.max(initial=0) < MAX_ABS_VALUE:
            raise MessageError(
                f"an embedding holds a number that is not finite or exceeds {MAX_ABS_VALUE:,.0f}"
            )
    return embeddings


def pack_metric(metric: np.ndarray) -> bytes:
    """Return a symmetric matrix [D, D] as bytes: its upper triangle, row by row, as float32."""
    return metric[np.triu_indices(len(metric))].astype("<f4").tobytes()


def unpack_metric(data: bytes, dim: int) -> np.ndarray:
    """Return a metric from a peer, float64 [dim, dim], symmetric and without negative eigenvalues.

    Raises:
        MessageError: The bytes are no upper triangle, hold a number that is not finite or too large, or the
            matrix is no product of a matrix with its transpose.
    """
    if len(data) != 2 * dim * (dim + 1):
        raise MessageError(f"a metric of {dim} dimensions takes {2 * dim * (dim + 1)} bytes, not {len(data)}")
    numbers = np.frombuffer(data, "<f4").astype(float)
    if not (np.abs(numbers) < MAX_ABS_VALUE**2).all():
        raise MessageError("a metric holds a number that is not finite or too large")
    metric = np.empty((dim, dim))
    upper = np.triu_indices(dim)
    metric[upper] = metric.T[upper] = numbers
    values, axes = np.linalg.eigh(metric)
    if values[-1] <= 0 or values[0] < -METRIC_ROUNDING * values[-1]:
        raise MessageError("a metric has a negative eigenvalue, or none that is positive")
    return (axes * values.clip(0)) @ axes.T
