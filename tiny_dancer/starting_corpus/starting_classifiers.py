"""Trains the two classifiers that a database starts with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.classifier import ClassifierSettings, RouteClassifier
from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.starting_corpus.corpus import StartingRequest, capabilities
from tiny_dancer.training.progress import Progress, no_progress
from tiny_dancer.weights import Float32Array


@dataclass(frozen=True, slots=True)
class StartingClassifiers:
    """What kind of request it is, and which capabilities it needs.

    Attributes:
        kind: fitted with ``fit``; exactly one kind is right.
        capabilities: fitted with ``fit_multilabel``.
    """

    kind: RouteClassifier
    capabilities: RouteClassifier


def fit_starting_classifiers(
    requests: Sequence[StartingRequest],
    embeddings: Float32Array,
    *,
    settings: ClassifierSettings | None = None,
    progress: Progress = no_progress,
) -> StartingClassifiers:
    """Train both.

    Args:
        requests: rows of the corpus.
        embeddings: of their texts, [n, D].
        settings: of both classifiers.
        progress: told ``(epoch, of, loss)`` of one after the other; may raise to cancel.

    Raises:
        InvalidArgumentError: the two do not fit each other.
    """
    if len(requests) != len(embeddings):
        raise InvalidArgumentError(f"{len(embeddings)} embeddings for {len(requests)} requests")
    kind = RouteClassifier(settings)
    kind.fit(embeddings, [request.kind for request in requests], progress=progress)
    names = capabilities(requests)
    needed = RouteClassifier(settings)
    needed.fit_multilabel(embeddings, indicator(requests, names), names, progress=progress)
    return StartingClassifiers(kind, needed)


def indicator(requests: Sequence[StartingRequest], names: Sequence[str]) -> NDArray[np.bool_]:
    """Which request needs which capability, [n, C]."""
    return np.array([[name in request.capabilities for name in names] for request in requests])
