"""Which experiments there are, and how one of a user's own is named; modules are imported when asked for."""

import dataclasses
import difflib
import importlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from social_jepa.experiments.framework.experiment import Experiment

EXPERIMENTS = {
    "isometry": "social_jepa.experiments.isometry.run",
    "theory": "social_jepa.experiments.theory.run",
    "viewpoint": "social_jepa.experiments.viewpoint.run",
    "probe-porting": "social_jepa.experiments.probe_porting.run",
    "migration": "social_jepa.experiments.migration.run",
    "dynamics": "social_jepa.experiments.dynamics.run",
    "pair-free": "social_jepa.experiments.pair_free.run",
    "universe": "social_jepa.experiments.universe.run",
    "heterogeneous": "social_jepa.experiments.heterogeneous.run",
    "invariance-equivariance": "social_jepa.experiments.invariance_equivariance.run",
    "path-integration": "social_jepa.experiments.path_integration.run",
    "counting": "social_jepa.experiments.counting.run",
    "collapse": "social_jepa.experiments.collapse.run",
}  # in the order in which they are run and shown


def locate(name: str) -> str:
    """Return where an experiment is defined, as "module:NAME".

    Args:
        name: One of NAMES, or already "package.module:NAME".

    Raises:
        ValueError: There is no such experiment; the nearest name is given.
    """
    if name in EXPERIMENTS:
        return f"{EXPERIMENTS[name]}:EXPERIMENT"
    module, colon, variable = name.partition(":")
    if colon and all(part.isidentifier() for part in (*module.split("."), variable)):
        return name
    near = difflib.get_close_matches(name.lower().replace("_", "-"), EXPERIMENTS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(EXPERIMENTS)}."
    raise ValueError(f"there is no experiment {name!r}: {hint} One of your own is named package.module:NAME")


def load(name: str) -> Experiment:
    """Return an experiment; its module is imported, and so is run.

    Args:
        name: One of NAMES, or "package.module:NAME" of a user's own.

    Raises:
        ValueError: There is none of that name, or its module cannot be imported or defines none there.
    """
    module, _, variable = locate(name).partition(":")
    try:
        found = getattr(importlib.import_module(module), variable, None)
    except (Exception, SystemExit) as error:  # whatever a stranger's module raises
        raise ValueError(
            f"experiment {name}: importing {module} failed ({type(error).__name__}: {error}); "
            "mend it, install what is missing, or add its folder to PYTHONPATH"
        ) from error
    if not isinstance(found, Experiment):
        raise ValueError(f"experiment {name}: {module} defines no Experiment called {variable}")
    return found


def build_settings(experiment: Experiment, quick: bool, overrides: Sequence[str]) -> Any:
    """Return the settings of a run: the defaults, then those of a quick run if it is one, then the overrides.

    Args:
        experiment: Whose settings.
        quick: Lay experiment.quick over the defaults.
        overrides: "key=value"; the value is read as TOML, or as text where it is none.

    Raises:
        ValueError: An unknown key (the nearest one is named), a wrong type, or a value that cannot work.
    """
    from agents.config_error import ConfigError
    from social_jepa.config.overrides import build_config

    try:
        if wrong := [text for text in overrides if not text.partition("=")[0].strip() or "=" not in text]:
            raise ConfigError("settings are written key=value", repr(wrong[0]))
        settings = build_config(experiment.settings, dict(experiment.quick) if quick else {}, overrides)
        for key, value in _leaves(dataclasses.asdict(settings)):
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError("a finite number is needed", key, value)
    except ConfigError as error:
        raise ConfigError(str(error), f"experiment {experiment.name}") from error
    return settings


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, below in value.items():
            yield from _leaves(below, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for below in value:
            yield from _leaves(below, key)
    else:
        yield key, value
