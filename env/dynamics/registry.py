"""Build the dynamics that ``scene.dynamics`` names."""

from collections.abc import Mapping
from functools import lru_cache

from env.common.custom_class import load_class
from env.dynamics.bounce import Bounce, Static
from env.dynamics.collide import Collide
from env.dynamics.contract import Dynamics, Motion
from env.dynamics.coupled import Coupled
from env.dynamics.ornstein_uhlenbeck import OrnsteinUhlenbeck

DYNAMICS: Mapping[str, type[Dynamics]] = {
    "ornstein_uhlenbeck": OrnsteinUhlenbeck,
    "coupled": Coupled,
    "collide": Collide,
    "bounce": Bounce,
    "static": Static,
}


def load_dynamics(kind: str) -> type[Dynamics]:
    """Return the class of a kind of motion; a custom one is imported.

    Args:
        kind: A key of DYNAMICS, or "package.module:Class".

    Raises:
        ValueError: It names no class that defines every abstract method of Dynamics.
    """
    if kind in DYNAMICS:
        return DYNAMICS[kind]
    return load_class("scene.dynamics", kind, Dynamics, "dynamics")  # type: ignore[type-abstract]


def build_dynamics(kind: str, motion: Motion) -> Dynamics:
    """Return the dynamics of a scene; equal arguments share one object, and so what it has computed.

    Raises:
        ValueError: See `load_dynamics`; or the settings do not suit this kind of motion.
    """
    return _build(load_dynamics(kind), motion)


@lru_cache(maxsize=32)
def _build(kind: type[Dynamics], motion: Motion) -> Dynamics:
    return kind(motion)
