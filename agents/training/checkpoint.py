"""Checkpoints: safetensors files with facts in their metadata, written atomically."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from agents.common.files import digest, write_atomically

FORMAT = 4  # raised when names of tensors or facts change
ENTRY = "social_jepa"  # key of the file's metadata
START_AGAIN = "restore it from a copy, or delete it and train again"
USED = ("model.", "basis.")  # prefixes of the tensors that encode views


@dataclass(eq=False, repr=False)
class CheckpointError(ValueError):
    """A checkpoint that cannot be used. Build it with positional arguments: Ray pickles it.

    Attributes:
        path: Its file.
        reason: What is wrong with it, as the end of a sentence about the file.
        remedy: What can be done.
    """

    path: Path
    reason: str
    remedy: str = START_AGAIN

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"{self.path} {self.reason}: {self.remedy}"


class DamagedCheckpointError(CheckpointError):
    """A checkpoint whose content is not what was written, or whose weights are not numbers."""


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, object]) -> str:
    """Write a checkpoint atomically: a reader finds the old file or the new one, never part of one.

    Args:
        path: File to write.
        tensors: Tensors by name.
        facts: JSON values by name.

    Returns:
        The hash of the file, which names this version of the model.
    """
    data = encode_checkpoint(tensors, facts)
    write_atomically(path, data)
    return digest(data)


def encode_checkpoint(tensors: Mapping[str, Tensor], facts: Mapping[str, object]) -> bytes:
    """Return the content of a checkpoint's file; see `write_checkpoint`."""
    cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    entry = {"format": FORMAT, "facts": facts, "content": content_digest(cpu, facts)}
    # a single entry: safetensors writes several in any order, and equal models would have different hashes
    return save(cpu, {ENTRY: json.dumps(entry, sort_keys=True)})


def content_digest(tensors: Mapping[str, Tensor], facts: Mapping[str, object]) -> str:
    """Return a hash of the names, types, shapes and values of tensors, and of facts."""
    found = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode("utf-8", "surrogatepass"))
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()[:16]


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    """Return (tensors, facts, hash).

    Raises:
        CheckpointError: The file is missing, cannot be read, or is of another program or format version.
        DamagedCheckpointError: Its content is not what was written, or has weights that are not finite.
    """
    try:
        data = path.read_bytes()
        tensors, metadata = decode_tensors(data)
    except FileNotFoundError as error:
        raise CheckpointError(path, "does not exist, so there is no checkpoint", "train first") from error
    except OSError as error:
        raise CheckpointError(
            path, f"cannot be read ({error.strerror or error})", "check its disk and its permissions"
        ) from error
    except SafetensorError as error:
        raise DamagedCheckpointError(path, f"is damaged or truncated ({error})") from error
    facts = _checked_facts(path, metadata.get(ENTRY, '{"format": "none"}'), tensors)
    if (name := first_not_finite(tensors)) is not None:
        raise DamagedCheckpointError(path, f"has values in {name} that are not finite numbers")
    return tensors, facts, digest(data)


def decode_tensors(data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a safetensors file, in memory of their own, and its metadata.

    The library's `safe_open` maps the file instead: a file that is cut afterwards would end the process.

    Raises:
        SafetensorError: It is damaged.
    """
    tensors = load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return tensors, header.get("__metadata__", {})


def _checked_facts(path: Path, text: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    try:
        entry = json.loads(text)
        found, facts = entry["format"], entry.get("facts")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedCheckpointError(path, f"is damaged ({error})") from error
    if found != FORMAT:
        raise CheckpointError(
            path, f"has checkpoint format {found}, this version of social-jepa reads format {FORMAT}",
            "delete it and train again, or use the version of social-jepa that wrote it",
        )  # fmt: skip
    if not isinstance(facts, dict):
        raise DamagedCheckpointError(path, "is damaged (it has no facts)")
    if content_digest(tensors, facts) != entry.get("content"):
        raise DamagedCheckpointError(path, "is damaged (its content has changed since it was written)")
    return facts


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the first tensor of a model or its basis that has a value that is no finite number, or None."""
    used = (name for name in sorted(tensors) if name.startswith(USED))
    return next((name for name in used if not torch.isfinite(tensors[name]).all()), None)


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
                path, f"is of another {name} ({facts.get(name)}, here {value})",
                "use the folder that it was written for, or delete it and train again",
            )  # fmt: skip


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
        raise CheckpointError(
            path, f"was trained with other model settings ({error})",
            "use the settings that it was trained with, or delete it and train again",
        ) from error  # fmt: skip


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
