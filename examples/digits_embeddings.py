"""Embed the handwritten digits of scikit-learn by three encoders that never met, and write their tables.

    python examples/digits_embeddings.py digits/
    social-jepa align digits/convnet.safetensors digits/perceptron.safetensors --pairs 256 --baselines

The convnet and the perceptron are trained as classifiers on disjoint parts of the pictures, with other
seeds; the third encoder is principal components. A row's id is the SHA-256 of its picture's bytes.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn

from alignment.embeddings.items import AnchorItems

PART = 600  # pictures that one encoder trains on; the 597 that are left are anchors
STEPS = 300


def train(encoder: nn.Module, images: Tensor, labels: Tensor, seed: int) -> nn.Module:
    """Train an encoder as a classifier and return it without the classifier."""
    generator = torch.Generator().manual_seed(seed)
    classifier = nn.Sequential(encoder, nn.Linear(encoder[-1].out_features, 10))
    optimizer = torch.optim.Adam(classifier.parameters(), lr=2e-3)
    for _ in range(STEPS):
        rows = torch.randint(len(images), (128,), generator=generator)
        loss = nn.functional.cross_entropy(classifier(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return encoder.eval()


def convnet(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(512, 32),
    )  # fmt: skip


def perceptron(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 48))


def components(images: Tensor, count: int = 24) -> nn.Module:
    """Return the leading principal components of these pictures as an encoder."""
    rows = images.flatten(1)
    _, _, axes = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, count))
    encoder[1].weight.data = axes[:count].contiguous()
    encoder[1].bias.data = -axes[:count] @ rows.mean(0)
    return encoder


def main(folder: Path) -> None:
    torch.set_num_threads(1)  # pictures of 8 by 8: more threads would wait for each other
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.images))
    images = torch.from_numpy(digits.images[order] / 16).float()[:, None]  # [N, 1, 8, 8]
    labels = torch.from_numpy(digits.target[order])
    first, second, anchors = images[:PART], images[PART : 2 * PART], images[2 * PART :]
    encoders = {
        "convnet": train(convnet(1), first, labels[:PART], 1),
        "perceptron": train(perceptron(2), second, labels[PART : 2 * PART], 2),
        "components": components(first),
    }
    names = {np.uint8(picture).tobytes(): row for row, picture in enumerate(digits.images[order][2 * PART :])}
    items = AnchorItems.from_bytes(names)
    rows = [names[items.read(item)] for item in items.ids]
    folder.mkdir(parents=True, exist_ok=True)
    for name, encoder in encoders.items():
        with torch.no_grad():
            table = encoder(anchors[rows])
        save_file(
            {"embeddings": table.contiguous()}, folder / f"{name}.safetensors", {"ids": json.dumps(items.ids)}
        )
        print(f"{folder / name}.safetensors  {len(table)} anchors, {table.shape[1]} dimensions")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
