"""Build the world model that an agent's kind names."""

import inspect
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword
from types import ModuleType

from agents.models.settings import KINDS, ModelConfig, check_kind
from agents.models.world_model import WorldModel
from agents.streams import seeded


def build_world_model(kind: str, config: ModelConfig, frame_size: int, seed: Sequence[int]) -> WorldModel:
    """Build a world model whose first weights follow from the seed alone.

    Args:
        kind: One of agents.models.settings.KINDS, or "package.module:Class" of a user's own.
        config: Sizes and objective.
        frame_size: Side of the square frames it will see.
        seed: Words of the agent's own seed.

    Raises:
        ValueError: Nobody knows that kind, or what it names is no world model.
    """
    make = load_kind(kind)
    return seeded(seed, lambda: make(config, frame_size))


def load_kind(text: str) -> type[WorldModel]:
    """Return the class that a kind names. A module of a user's own is imported, and so is run.

    Args:
        text: One of agents.models.settings.KINDS, or "package.module:Class".

    Raises:
        ValueError: Nobody knows that kind, its module cannot be imported, or it names no class that fills
            in the whole of agents.models.world_model.WorldModel.
    """
    if ":" not in text:
        check_kind(text)
        text = KINDS[text]
    module, _, name = text.partition(":")
    if not all(part.isidentifier() and not iskeyword(part) for part in (*module.split("."), name)):
        raise ValueError(f"agents.kind={text!r} must read package.module:Class")
    found = getattr(_import(module, text), name, None)
    if found is None:
        raise ValueError(f"agents.kind={text!r}: module {module} has no {name}; check how it is spelt")
    if not (inspect.isclass(found) and issubclass(found, WorldModel)):
        raise ValueError(
            f"agents.kind={text!r}: {name} is no world model; "
            "derive it from agents.models.world_model.WorldModel"
        )
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise ValueError(
            f"agents.kind={text!r}: {name} leaves out {', '.join(missing)}; write what is missing"
        )
    return found


def _import(module: str, kind: str) -> ModuleType:
    try:
        return import_module(module)
    # whatever a stranger's module raises, and a script that exits when it is imported
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise ValueError(
                f"agents.kind={kind!r}: there is no module {error.name}; "
                "install it, or add its folder to PYTHONPATH"
            ) from error
        raise ValueError(
            f"agents.kind={kind!r}: importing {module} failed ({type(error).__name__}: {error}); "
            "mend the module so that it can be imported by itself"
        ) from error
