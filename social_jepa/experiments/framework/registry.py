"""Registry of experiments; a custom experiment is named package.module:NAME.

Modules of experiments are imported when they are loaded.
"""

import dataclasses
import difflib
import importlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from social_jepa.experiments.framework.experiment import Experiment

EXPERIMENTS = {
    "isometry": "social_jepa.experiments.isometry.run",
    "native-isometry": "social_jepa.experiments.native_isometry.run",
    "time-or-jepa": "social_jepa.experiments.time_or_jepa.run",
    "theory": "social_jepa.experiments.theory.run",
    "viewpoint": "social_jepa.experiments.viewpoint.run",
    "scant-overlap": "social_jepa.experiments.scant_overlap.run",
    "classifier-porting": "social_jepa.experiments.classifier_porting.run",
    "probe-porting": "social_jepa.experiments.probe_porting.run",
    "migration": "social_jepa.experiments.migration.run",
    "plan-transfer": "social_jepa.experiments.plan_transfer.run",
    "embodied": "social_jepa.experiments.embodied.run",
    "one-moment": "social_jepa.experiments.one_moment.run",
    "universe": "social_jepa.experiments.universe.run",
    "heterogeneous": "social_jepa.experiments.heterogeneous.run",
    "worlds": "social_jepa.experiments.worlds.run",
    "invariance-equivariance": "social_jepa.experiments.invariance_equivariance.run",
    "path-integration": "social_jepa.experiments.path_integration.run",
    "counting": "social_jepa.experiments.counting.run",
    "collapse": "social_jepa.experiments.collapse.run",
}  # in the order in which they are run and shown


def locate(name: str) -> str:
    """Return the module and variable of an experiment, as "package.module:NAME".

    Args:
        name: A key of EXPERIMENTS, or "package.module:NAME".

    Raises:
        ValueError: There is no such experiment; the text suggests the closest name.
    """
    if name in EXPERIMENTS:
        return f"{EXPERIMENTS[name]}:EXPERIMENT"
    module, colon, variable = name.partition(":")
    if colon and all(part.isidentifier() for part in (*module.split("."), variable)):
        return name
    close = difflib.get_close_matches(name.lower().replace("_", "-"), EXPERIMENTS, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(EXPERIMENTS)}."
    raise ValueError(f"there is no experiment {name!r}: {hint} A custom one is named package.module:NAME")


def load(name: str) -> Experiment:
    """Return an experiment; this imports its module, which runs the module's code.

    Args:
        name: A key of EXPERIMENTS, or "package.module:NAME" of a custom experiment.

    Raises:
        ValueError: The name is unknown, the module cannot be imported, or it defines no such Experiment.
    """
    module, _, variable = locate(name).partition(":")
    try:
        found = getattr(importlib.import_module(module), variable, None)
    except (Exception, SystemExit) as error:  # a custom module may raise anything
        raise ValueError(
            f"experiment {name}: importing {module} failed ({type(error).__name__}: {error}); "
            "fix it, install what is missing, or add its folder to PYTHONPATH"
        ) from error
    if not isinstance(found, Experiment):
        raise ValueError(f"experiment {name}: {module} defines no Experiment called {variable}")
    return found


def build_settings(experiment: Experiment, quick: bool, overrides: Sequence[str]) -> Any:
    """Return the settings of a run: the defaults, updated by `experiment.quick`, then by overrides.

    Args:
        experiment: The experiment.
        quick: Whether to update the defaults by experiment.quick.
        overrides: "key=value"; a value that is not TOML is a string.

    Raises:
        ValueError: A key is unknown (the text suggests the closest one), or a value's type or range is wrong.
    """
    from agents.common.config_error import ConfigError
    from social_jepa.config.overrides import build_config

    try:
        for text in overrides:
            if "=" not in text or not text.partition("=")[0].strip():
                raise ConfigError("settings are written key=value", repr(text))
        settings = build_config(experiment.settings, dict(experiment.quick) if quick else {}, overrides)
        for key, value in _leaves(dataclasses.asdict(settings)):
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError("a finite number is needed", key, value)
    except ConfigError as error:
        raise ConfigError(str(error), f"experiment {experiment.name}") from error
    return settings


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield from _leaves(child, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for child in value:
            yield from _leaves(child, key)
    else:
        yield key, value
