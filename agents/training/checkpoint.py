"""Checkpoints: safetensors files with facts in their metadata, written atomically."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from agents.common.files import digest, write_atomically

FORMAT = 2  # raised when names of tensors or facts change
ENTRY = "social_jepa"  # key of the file's metadata


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message says why and what to do."""


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, object]) -> str:
    """Write a checkpoint atomically: a reader finds the old file or the new one, never part of one.

    Args:
        path: File to write.
        tensors: Tensors by name.
        facts: JSON values by name.

    Returns:
        The hash of the file, which names this version of the model.
    """
    cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # a single entry: safetensors writes several in any order, and equal models would have different hashes
    data = save(cpu, {ENTRY: json.dumps({"format": FORMAT, "facts": facts}, sort_keys=True)})
    write_atomically(path, data)
    return digest(data)


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    """Return (tensors, facts, hash).

    Raises:
        CheckpointError: The file is missing, damaged, of another program, or of another format version.
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
            f"{path} has checkpoint format {found}, this version of social-jepa reads format {FORMAT}: "
            "delete it and train again, or use the version of social-jepa that wrote it"
        )
    if not isinstance(facts, dict):
        raise CheckpointError(f"{path} is damaged (it has no facts): delete it and train again")
    return tensors, facts, digest(data)


def check_owner(path: Path, facts: Mapping[str, object], expected: Mapping[str, object]) -> None:
    """Raise CheckpointError unless a checkpoint states these facts.

    Args:
        path: File of the checkpoint, for the message.
        facts: Facts of the checkpoint.
        expected: Facts that it must state: name, kind and scene of its agent.
    """
    for name, value in expected.items():
        if facts.get(name) != value:
            raise CheckpointError(
                f"{path} is of another {name} ({facts.get(name)}, here {value}): "
                "use the folder that it was written for, or delete it and train again"
            )


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return a model's state as named tensors: ``model.<name>``."""
    return {f"model.{name}": tensor for name, tensor in model.state_dict().items()}


def load_model(path: Path, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Restore a model from the tensors of `model_tensors`.

    Raises:
        CheckpointError: The tensors are of a model with other settings.
    """
    try:
        model.load_state_dict(
            {name[6:]: value for name, value in tensors.items() if name.startswith("model.")}
        )
    except RuntimeError as error:
        raise CheckpointError(f"{path} was trained with other model settings: {error}") from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimizer's state as named tensors: ``optimizer.<parameter>.<name>``."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{index}.{name}": torch.as_tensor(value)
        for index, values in state.items()
        for name, value in values.items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore an optimizer from the tensors of `optimizer_tensors`; other tensors are ignored."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            parameter = parameters[int(index)]
            if value.shape == parameter.shape:
                # a fused step reads weight and moments side by side in memory: they need the same strides
                value = torch.empty_like(parameter, requires_grad=False).copy_(value)
            state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
