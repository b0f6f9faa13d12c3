"""Fingerprint of a scene: a hash that is equal where peers replay the same scene, on every machine."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from env.sources.contract import FrameSource

STATE_TICKS = (0, 1, 2, 3, 511, 1023, 1024, 4096)  # whose states are part of a custom scene's fingerprint
STATE_DIGITS = 6  # decimals of them; functions such as tanh round the last digits differently by machine
# Raised whenever equal settings no longer give equal states, or the fingerprint's keys change.
FINGERPRINT_VERSION = 3  # 2: autocorrelation, object_range, tanh_gain; 3: object_areas, identity_ticks
WHOLE = ("objects", "identity_ticks", "shapes", "seed", "version")  # facts in it that are integers
# Settings of what only decides how a camera sees the objects: peers may differ in them.
OF_VIEW = {
    "source", "frames", "renderer", "frame_size", "bodies", "interior_walls", "camera_motion", "nuisance",
}  # fmt: skip


def hash_scene(settings: Mapping[str, Any], seed: int, states: np.ndarray | None = None) -> str:
    """Return the hash of all that moves or changes the objects of a rendered scene, 16 hex digits.

    Args:
        settings: Those of the scene by name, the autocorrelation of every coordinate among them.
        seed: Seed of the scene.
        states: Factors and positions at STATE_TICKS, [T, 2 F], where the dynamics are a custom class, so that
            two versions of it are not the same scene.
    """
    left_out = OF_VIEW if settings["dynamics"] == "coupled" else OF_VIEW | {"coupling"}
    facts = {name: value for name, value in settings.items() if name not in left_out}
    facts |= {
        "shapes": len(settings["shapes"]) if settings["identity_ticks"] else 1,
        "seed": seed,
        "version": FINGERPRINT_VERSION,
    }
    if states is not None:
        facts["states"] = (states.round(STATE_DIGITS) + 0.0).tolist()  # + 0.0 makes -0.0 equal to 0.0
    plain = {name: _plain(value, name in WHOLE) for name, value in facts.items()}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def hash_source(name: str, source: FrameSource, memory: int) -> str:
    """Return the hash of what a source of frames reads, 16 hex digits.

    The path is left out, and so is how cameras change its frames.

    Args:
        name: Kind or class of the source, as settings name it.
        source: The source.
        memory: Ticks after which its frames no longer resemble earlier ones.
    """
    facts = [name, source.ticks, source.identity, memory, FINGERPRINT_VERSION]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _plain(value: Any, whole: bool) -> Any:
    """Return a value as JSON holds it: 8, 8.0 and a number of NumPy are the same setting."""
    if isinstance(value, list | tuple):
        return [_plain(each, whole) for each in value]
    if isinstance(value, bool | str) or not isinstance(value, int | float | np.number):
        return value
    return int(value) if whole else float(value)
