"""Data behind the plots of an experiment, kept in its results document so that plots can be drawn again.

`record` calls an experiment's plots once on the full results and returns all that they read: estimates,
arrays and derived arrays, encoded for the results document. `PlotData` decodes them and has the methods of
`Results`. Plots are drawn from `PlotData` after a run too, so that drawing them again gives equal bytes.
"""

import base64
import io
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from social_jepa.experiments.framework.document import JsonObject
from social_jepa.experiments.framework.experiment import Experiment, Results, finite_or_none
from social_jepa.experiments.framework.score import Estimate

MANTISSA_BITS = 10  # kept of a float, as many as float16 has, but with the range of float32


class PlotData(Results):
    """The part of an experiment's results that its plots read, rounded for storage."""

    def __init__(self, encoded: JsonObject, conditions: Iterable[str], seeds: Sequence[int]) -> None:
        """Decode what `record` encoded, with the conditions and seeds of the same results document.

        Raises:
            KeyError, TypeError, ValueError: The plot data are damaged.
        """
        super().__init__({}, seeds)
        self._conditions = list(conditions)
        self._estimates = {
            (condition, score): _decode_estimate(estimate)
            for condition, estimates in encoded["estimates"].items()
            for score, estimate in estimates.items()
        }
        self._arrays = {
            (condition, name, int(seed)): _decode_array(array)
            for condition, arrays in encoded["arrays"].items()
            for name, by_seed in arrays.items()
            for seed, array in by_seed.items()
        }
        self._derived = {name: _decode_array(array) for name, array in encoded["derived"].items()}

    @property
    def conditions(self) -> list[str]:
        """Names of the conditions, in the order in which they were run."""
        return self._conditions

    def estimate(self, condition: str, score: str) -> Estimate:
        """Return the estimate of a score of a condition over all seeds."""
        return self._estimates[condition, score]

    def mean(self, condition: str, score: str) -> float:
        """Return the mean of a score over all seeds."""
        return self._estimates[condition, score].value

    def array(self, condition: str, name: str, seed: int | None = None) -> np.ndarray:
        """Return an array of a condition, by default of the first seed."""
        return self._arrays[condition, name, self.seeds[0] if seed is None else seed]

    def has_score(self, condition: str, score: str) -> bool:
        """Return whether the plots read this score."""
        return (condition, score) in self._estimates

    def has_array(self, condition: str, name: str) -> bool:
        """Return whether the plots read this array."""
        return (condition, name, self.seeds[0]) in self._arrays

    def derived(self, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Return a stored array in place of computing it."""
        return self._derived[name]


def record(experiment: Experiment, results: Results, settings: Any) -> JsonObject:
    """Return all that an experiment's plots read of its results, encoded for `PlotData`."""
    recorder = _Recorder(results)
    experiment.plots(recorder, settings)
    return recorder.plot_data


class _Recorder(Results):
    """Results that encode all that is read of them."""

    def __init__(self, results: Results) -> None:
        super().__init__(results.condition_results, results.seeds)
        self._results = results
        self.plot_data: JsonObject = {"estimates": {}, "arrays": {}, "derived": {}}

    @property
    def conditions(self) -> list[str]:
        return self._results.conditions

    def estimate(self, condition: str, score: str) -> Estimate:
        estimate = self._results.estimate(condition, score)
        self.plot_data["estimates"].setdefault(condition, {})[score] = _encode_estimate(estimate)
        return estimate

    def mean(self, condition: str, score: str) -> float:
        return self.estimate(condition, score).value

    def array(self, condition: str, name: str, seed: int | None = None) -> np.ndarray:
        seed = self.seeds[0] if seed is None else seed
        array = self._results.array(condition, name, seed)
        by_seed = self.plot_data["arrays"].setdefault(condition, {}).setdefault(name, {})
        by_seed[str(seed)] = _encode_array(array)
        return array

    def has_score(self, condition: str, score: str) -> bool:
        found = self._results.has_score(condition, score)
        if found:
            self.estimate(condition, score)
        return found

    def has_array(self, condition: str, name: str) -> bool:
        found = self._results.has_array(condition, name)
        if found:
            self.array(condition, name)
        return found

    def derived(self, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        before = self.plot_data
        self.plot_data = {"estimates": {}, "arrays": {}, "derived": {}}  # of what compute reads: discarded
        try:
            array = np.asarray(compute())
        finally:
            self.plot_data = before
        self.plot_data["derived"][name] = _encode_array(array)
        return array


def _encode_estimate(estimate: Estimate) -> JsonObject:
    return {"by_seed": [finite_or_none(value) for value in estimate.seeds]}


def _decode_estimate(encoded: JsonObject) -> Estimate:
    return Estimate(tuple(_nan_if_none(number) for number in encoded["by_seed"]))


def _encode_array(array: np.ndarray) -> JsonObject:
    array = np.asarray(array)
    if array.dtype == np.uint8 and array.ndim >= 3 and array.shape[-1] == 3 and array.size:
        return {"shape": list(array.shape), "dtype": "uint8", "png": _to_png(array)}
    if array.dtype.kind == "f":
        array = _round(array.astype(np.float32))
    # Bytes of equal significance side by side compress better.
    data = np.frombuffer(array.tobytes(), dtype=np.uint8).reshape(-1, array.dtype.itemsize).T.tobytes()
    return {"shape": list(array.shape), "dtype": array.dtype.str, "data": _compress(data)}


def _decode_array(encoded: JsonObject) -> np.ndarray:
    shape = tuple(encoded["shape"])
    if "png" in encoded:
        with Image.open(io.BytesIO(base64.b64decode(encoded["png"]))) as image:
            return np.asarray(image).reshape(shape)
    dtype = np.dtype(encoded["dtype"])
    data = np.frombuffer(_decompress(encoded["data"]), dtype=np.uint8).reshape(dtype.itemsize, -1).T.tobytes()
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def _round(array: np.ndarray) -> np.ndarray:
    """Return float32 numbers with the last bits of their mantissas rounded off."""
    dropped = 23 - MANTISSA_BITS
    bits = array.view(np.uint32) + np.uint32(1 << (dropped - 1))
    return np.where(np.isfinite(array), (bits & ~np.uint32((1 << dropped) - 1)).view(np.float32), array)


def _to_png(frames: np.ndarray) -> str:
    """Return frames uint8 [..., H, W, 3] as one PNG, the frames below each other."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frames.reshape(-1, *frames.shape[-2:]))).save(
        buffer, "PNG", optimize=True
    )
    return base64.b64encode(buffer.getvalue()).decode()


def _compress(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _decompress(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def _nan_if_none(number: float | None) -> float:
    return np.nan if number is None else float(number)
