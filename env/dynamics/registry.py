"""Build the dynamics that ``scene.dynamics`` names."""

from collections.abc import Mapping
from functools import lru_cache

from env.common.custom_class import load_class, place_of
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
        ValueError: See `load_dynamics`; or the settings do not suit this kind of motion, or the class of
            custom dynamics fails.
    """
    found = load_dynamics(kind)
    try:
        return _build(found, motion)
    except ValueError:
        raise
    except Exception as error:  # a custom class may raise anything
        raise ValueError(
            f"scene.dynamics={kind!r}: building it failed ({type(error).__name__}: {error})"
            f"{place_of(error)}; fix it there"
        ) from error


@lru_cache(maxsize=32)
def _build(kind: type[Dynamics], motion: Motion) -> Dynamics:
    return kind(motion)
