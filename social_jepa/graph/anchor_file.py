"""anchors.safetensors in the folder of an agent: embeddings of the ticks that may be compared."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from agents.training.checkpoint import decode_tensors
from social_jepa.graph.results_errors import DamagedAnchorsError
from social_jepa.storage.run_folder import RunFolder

ANCHORS = "anchors.safetensors"


def anchors_version(folder: RunFolder, name: str) -> str:
    """Return the hash of the model that an agent's anchors on disk come from.

    Raises:
        DamagedAnchorsError: They are missing or damaged.
    """
    path = folder.agent(name) / ANCHORS
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("checkpoint", "")
    except (OSError, SafetensorError) as error:
        raise DamagedAnchorsError(path, str(error)) from error


def read_anchors(path: Path) -> tuple[dict[str, torch.Tensor], str]:
    """Return the tensors of a file, see `AnchorPools.from_tensors`, and the hash of the model that made them.

    Raises:
        DamagedAnchorsError: It is missing or damaged.
    """
    try:
        tensors, metadata = decode_tensors(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise DamagedAnchorsError(path, str(error)) from error
    return tensors, metadata.get("checkpoint", "")
