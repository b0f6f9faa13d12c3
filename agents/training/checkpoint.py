"""A world model on disk: safetensors, written whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from agents.files import digest, write_atomically

FORMAT = 1
ENTRY = "social_jepa"  # of the file's metadata


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the text says why and what to do."""


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, object]) -> str:
    """Write tensors and facts so that a reader finds the old file or the new one, never half of one.

    Returns:
        The hash of the file: the name of this version of the model.
    """
    cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # one entry alone: safetensors writes several in any order, and equal models would have different hashes
    data = save(cpu, {ENTRY: json.dumps({"format": FORMAT, "facts": facts}, sort_keys=True)})
    write_atomically(path, data)
    return digest(data)


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    """Return (tensors, facts, hash).

    Raises:
        CheckpointError: Missing, truncated, not ours, or written by a newer version.
    """
    try:
        data = path.read_bytes()
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint at {path}: train first") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or truncated ({error}): delete it and train again"
        ) from error
    try:
        entry = json.loads(metadata.get(ENTRY, '{"format": "none"}'))
        found, facts = entry["format"], entry.get("facts")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): delete it and train again") from error
    if found != FORMAT:
        raise CheckpointError(
            f"{path} has format {found}, this version reads {FORMAT}: use the version that wrote it"
        )
    if not isinstance(facts, dict):
        raise CheckpointError(f"{path} is damaged (it lists no facts): delete it and train again")
    return tensors, facts, digest(data)


def check_owner(path: Path, facts: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    """Raise CheckpointError unless the facts of a checkpoint are those of the agent that wants it."""
    for name, value in wanted.items():
        if facts.get(name) != value:
            raise CheckpointError(
                f"{path} is of another {name} ({facts.get(name)}, here {value}): "
                "use the folder that it was written for, or delete it and train again"
            )


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return a model's state as named tensors: ``model.<name>``."""
    return {f"model.{name}": tensor for name, tensor in model.state_dict().items()}


def load_model(path: Path, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Restore a model from the tensors named ``model.<name>``."""
    try:
        model.load_state_dict(
            {name[6:]: value for name, value in tensors.items() if name.startswith("model.")}
        )
    except RuntimeError as error:
        raise CheckpointError(f"{path} was trained with other model settings: {error}") from error


def optimizer_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's state as named tensors: ``optimiser.<parameter>.<name>``."""
    state = optimiser.state_dict()["state"]
    return {
        f"optimizer.{index}.{name}": torch.as_tensor(value)
        for index, values in state.items()
        for name, value in values.items()
    }


def load_optimizer(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore what `optimizer_tensors` returned."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            parameter = parameters[int(index)]
            if value.shape == parameter.shape:
                # a fused step walks through weight and moments side by side in memory: same strides
                value = torch.empty_like(parameter, requires_grad=False).copy_(value)
            state.setdefault(int(index), {})[name] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
