"""How well intents are told apart by the vectors of each provider; run by embedding.py --data."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from embedding_process import Embed, Floats, open_embed
from numpy.typing import NDArray
from tqdm import tqdm

from tiny_dancer.training.adam import Adam
from tiny_dancer.training.softmax_cross_entropy import SoftmaxCrossEntropy

EPOCHS = 40
BATCH = 512
# Share of Banking77 that is tested on; CLINC150 says which rows are.
TESTED = 0.2
Labelled = tuple[list[str], list[str]]


def print_quality(data: Path, model: str, places: dict[str, str]) -> None:
    """Print how well intents are told apart by the vectors."""
    sets = {"CLINC150": read_clinc(data), "Banking77": read_banking(data)}
    print("\naccuracy in %: nearest centroid / logistic regression")
    print(f"{'':22}" + "".join(f"{name:>16}" for name in sets))
    for provider, place in places.items():
        embed = open_embed(provider, place, model)
        cells = []
        for name, parts in sets.items():
            (train, labels), (test, truth) = (
                (embed_all(texts, embed, f"{provider} {name}"), np.array(labels))
                for texts, labels in parts
            )
            accuracies = (by_centroid(train, labels, test), by_regression(train, labels, test))
            cells.append(" / ".join(f"{100 * np.mean(a == truth):.1f}" for a in accuracies))
        print(f"{provider:22}" + "".join(f"{cell:>16}" for cell in cells))


def read_clinc(folder: Path) -> tuple[Labelled, Labelled]:
    rows = read_lines(folder / "clinc150.jsonl.gz")
    return tuple(  # type: ignore[return-value]
        (
            [row["text"] for row in rows if row["split"] == split],
            [row["label"] for row in rows if row["split"] == split],
        )
        for split in ("train", "val")
    )


def read_banking(folder: Path) -> tuple[Labelled, Labelled]:
    rows = read_lines(folder / "banking77.jsonl.gz")
    order = np.random.default_rng(0).permutation(len(rows))
    cut = int(len(rows) * TESTED)
    return tuple(  # type: ignore[return-value]
        ([rows[i]["text"] for i in part], [rows[i]["label"] for i in part])
        for part in (order[cut:], order[:cut])
    )


def read_lines(path: Path) -> list[Any]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def embed_all(texts: Sequence[str], embed: Embed, what: str) -> Floats:
    return np.stack([embed(text) for text in tqdm(texts, desc=what, leave=False, disable=None)])


def by_centroid(train: Floats, labels: NDArray[Any], test: Floats) -> NDArray[Any]:
    names, numbers = np.unique(labels, return_inverse=True)
    centroids = np.zeros((len(names), train.shape[1]))
    np.add.at(centroids, numbers, train)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    return np.asarray(names[(test @ centroids.T).argmax(axis=1)])


def by_regression(train: Floats, labels: NDArray[Any], test: Floats) -> NDArray[Any]:
    """Predict by a softmax regression, trained by Adam on unit vectors made longer."""
    names, numbers = np.unique(labels, return_inverse=True)
    inputs = 10.0 * train.astype(np.float32)
    weights = {
        "w": np.zeros((train.shape[1], len(names)), np.float32),
        "b": np.zeros(len(names), np.float32),
    }
    loss = SoftmaxCrossEntropy(numbers, len(names))
    adam = Adam(weights, learning_rate=0.01, weight_decay=0.01)
    random = np.random.default_rng(0)
    for _ in range(EPOCHS):
        order = random.permutation(len(inputs))
        for first in range(0, len(order), BATCH):
            rows = order[first : first + BATCH]
            _, error = loss(inputs[rows] @ weights["w"] + weights["b"], rows)
            adam.step({"w": inputs[rows].T @ error, "b": error.sum(axis=0)})
    return np.asarray(names[(10.0 * test @ weights["w"] + weights["b"]).argmax(axis=1)])
