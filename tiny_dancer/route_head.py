"""What is learned of semantic routes: which one a request means, how surely, and whether any.

Four kinds of evidence speak for a route: a linear head over the embedding, trained on examples;
the density of the route's utterances near the request, where a learned map puts both; its
centrality (``route_evidence``); and how the request is spelled (``route_wording``).
Their weighted sum is the route's log-odds against the others, and the softmax of these over the
routes is the confidence: the probability that the route is right, given that one of them is.
Another weighted sum, over the same evidence, tells requests that mean one of the routes from those
that mean none; each route has a threshold on it.

A route that was made after the fit has no linear head: what one would say is estimated from density
and centrality, so that it takes its place among the others. So is what the wording would say, of
such a route and of a request whose text is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.route_wording import BUCKETS
from tiny_dancer.weights import DamagedWeightsError, Float32Array, from_blob, to_blob

Vectors = NDArray[np.float32]

LINEAR, DENSITY, CENTRALITY, WORDING = range(4)
EVIDENCE = 4
"""How many kinds of evidence there are."""
CANDIDATES = 12
"""Routes with the most linear evidence that are compared; the others are hardly likely."""


@dataclass(frozen=True, slots=True, eq=False)
class RouteHead:
    """The fitted weights. Rows are fitted routes, in the order of the fit.

    Attributes:
        heads: linear weights, offset last, [routes, dimension + 1].
        thresholds: least scope of a request that means the route, [routes].
        sharpness: of the density.
        evidence: weight of each kind of evidence in the log-odds, [EVIDENCE].
        scope: weights of log-odds, density and centrality in the scope, then its offset, [4].
        estimate: of the linear evidence of a route without head: the weights of density and
            centrality, then the offset, [3].
        wording: weights of the spelling, [routes, buckets]; [routes, 0] where it plays no part.
        wording_estimate: of the evidence of the wording where it is not known: the weights of
            linear evidence, density and centrality, then the offset, [4].
        metric: map of embeddings to where the density is taken, [dimensions there, dimension];
            [0, dimension] where it is taken of the embeddings themselves.
    """

    heads: Vectors
    thresholds: Vectors
    sharpness: float
    evidence: Vectors
    scope: Vectors
    estimate: Vectors
    wording: Vectors
    wording_estimate: Vectors
    metric: Vectors

    @property
    def dimension(self) -> int:
        """Of the embeddings."""
        return int(self.heads.shape[1]) - 1

    @property
    def has_metric(self) -> bool:
        """Whether the density is taken elsewhere than of the embeddings themselves."""
        return len(self.metric) > 0

    def linear(self, embeddings: Vectors) -> Vectors:
        """Return the linear evidence for each fitted route, [..., routes]."""
        found: Vectors = embeddings @ self.heads[:, :-1].T + self.heads[:, -1]
        return found

    def estimated_linear(self, density: Vectors, centrality: Vectors) -> Vectors:
        """Return what a linear head would probably say of routes that have none."""
        estimated: Vectors = (
            self.estimate[0] * density + self.estimate[1] * centrality + self.estimate[2]
        )
        return estimated

    def estimated_wording(self, linear: Vectors, density: Vectors, centrality: Vectors) -> Vectors:
        """Return what the wording would probably say for routes."""
        weights = self.wording_estimate
        estimated: Vectors = (
            weights[LINEAR] * linear
            + weights[DENSITY] * density
            + weights[CENTRALITY] * centrality
            + weights[-1]
        )
        return estimated

    def log_odds(
        self, linear: Vectors, density: Vectors, centrality: Vectors, wording: Vectors
    ) -> Vectors:
        """Return the log-odds of routes against each other, of the shape of the evidence."""
        weights = self.evidence
        summed: Vectors = (
            weights[LINEAR] * linear
            + weights[DENSITY] * density
            + weights[CENTRALITY] * centrality
            + weights[WORDING] * wording
        )
        return summed

    def scope_of(self, log_odds: Vectors, density: Vectors, centrality: Vectors) -> Vectors:
        """Return how much speaks for a request meaning a route rather than none at all."""
        weights = self.scope
        summed: Vectors = (
            weights[0] * log_odds + weights[1] * density + weights[2] * centrality + weights[3]
        )
        return summed

    def to_bytes(self, description: Mapping[str, Any] | None = None) -> bytes:
        """Return the weights as a safetensors file."""
        tensors: dict[str, Float32Array] = {
            "heads": self.heads,
            "thresholds": self.thresholds,
            "sharpness": np.array([self.sharpness], np.float32),
            "evidence": self.evidence,
            "scope": self.scope,
            "estimate": self.estimate,
            "wording": self.wording,
            "wording_estimate": self.wording_estimate,
            "metric": self.metric,
        }
        return to_blob(tensors, {"kind": "route head", **(description or {})})

    @classmethod
    def from_bytes(cls, blob: bytes, *, where: str = "route head") -> Self:
        """Read back what ``to_bytes`` wrote.

        Raises:
            DamagedWeightsError: the bytes are damaged, or are not of a route head; the message
                names ``where``.
        """
        tensors, description = from_blob(blob, where=where)
        if "wording" not in tensors:
            tensors = _without_wording(tensors)
        if "metric" not in tensors:
            tensors = _without_metric(tensors)
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        heads = shapes.get("heads", ())
        wanted = {
            "heads": heads if len(heads) == 2 and heads[1] > 1 else None,
            "thresholds": heads[:1],
            "sharpness": (1,),
            "evidence": (EVIDENCE,),
            "scope": (4,),
            "estimate": (3,),
            "wording": heads[:1] + shapes["wording"][1:]
            if shapes["wording"][1:] in ((0,), (BUCKETS,))
            else None,
            "wording_estimate": (EVIDENCE,),
            "metric": (*shapes["metric"][:1], heads[-1] - 1) if heads else None,
        }
        if description.get("kind") != "route head" or shapes != wanted:
            raise DamagedWeightsError(
                f"{where} is damaged: its tensors are not those of a route head",
                hint="Fit the routes again with ruvector_fit_routes.",
            )
        sharpness = float(tensors.pop("sharpness")[0])
        return cls(sharpness=sharpness, **tensors)


def _without_wording(tensors: Mapping[str, Float32Array]) -> dict[str, Float32Array]:
    """Complete the tensors of a head of version 0.1, which did not look at the wording."""
    evidence = tensors.get("evidence", np.zeros(0, np.float32))
    return {
        **tensors,
        "evidence": np.append(evidence, np.float32(0.0)),
        "wording": np.zeros((len(tensors.get("thresholds", ())), 0), np.float32),
        "wording_estimate": np.zeros(EVIDENCE, np.float32),
    }


def _without_metric(tensors: Mapping[str, Float32Array]) -> dict[str, Float32Array]:
    """Complete the tensors of a head from before there was one."""
    dimension = tensors["heads"].shape[-1] - 1 if "heads" in tensors else 0
    return {**tensors, "metric": np.zeros((0, max(dimension, 0)), np.float32)}


def probabilities(log_odds: NDArray[Any]) -> NDArray[np.float64]:
    """Return the softmax over the last axis."""
    shifted = log_odds.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    weights = np.exp(shifted)
    shares: NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True)
    return shares
