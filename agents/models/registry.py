"""Build the world model that an agent's kind names."""

import inspect
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword
from types import ModuleType

from agents.common.streams import seeded
from agents.models.settings import KINDS, ModelConfig, check_kind
from agents.models.world_model import WorldModel


def build_world_model(kind: str, config: ModelConfig, frame_size: int, seed: Sequence[int]) -> WorldModel:
    """Return a world model whose first weights follow from the seed alone.

    Args:
        kind: One of agents.models.settings.KINDS, or "package.module:Class" of a custom world model.
        config: Sizes and objective.
        frame_size: Side of the square frames.
        seed: Integers of the random stream of the weights.

    Raises:
        ValueError: The kind is unknown, or names no world model.
    """
    build = load_kind(kind)
    return seeded(seed, lambda: build(config, frame_size))


def load_kind(text: str) -> type[WorldModel]:
    """Return the class that a kind names; the module of a custom world model is imported, and so executed.

    Args:
        text: One of agents.models.settings.KINDS, or "package.module:Class".

    Raises:
        ValueError: The kind is unknown, its module cannot be imported, or it names no class that defines
            every abstract method of agents.models.world_model.WorldModel.
    """
    if ":" not in text:
        check_kind(text)
        text = KINDS[text]
    module, _, name = text.partition(":")
    if not all(part.isidentifier() and not iskeyword(part) for part in (*module.split("."), name)):
        raise ValueError(f"agents.kind={text!r} must read package.module:Class")
    found = getattr(_import(module, text), name, None)
    if found is None:
        raise ValueError(f"agents.kind={text!r}: module {module} has no {name}; check the spelling")
    if not (inspect.isclass(found) and issubclass(found, WorldModel)):
        raise ValueError(
            f"agents.kind={text!r}: {name} is no world model; "
            "derive it from agents.models.world_model.WorldModel"
        )
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise ValueError(f"agents.kind={text!r}: {name} does not define {', '.join(missing)}; define them")
    return found


def _import(module: str, kind: str) -> ModuleType:
    try:
        return import_module(module)
    # a custom module may raise anything, and a script may exit when it is imported
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise ValueError(
                f"agents.kind={kind!r}: there is no module {error.name}; "
                "install it, or add its folder to PYTHONPATH"
            ) from error
        raise ValueError(
            f"agents.kind={kind!r}: importing {module} failed ({type(error).__name__}: {error}); "
            "fix the module so that it can be imported on its own"
        ) from error
