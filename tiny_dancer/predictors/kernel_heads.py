"""Kernel ridge regression over a bounded sample of requests: near requests, near quality.

A Gaussian kernel compares the request with landmarks drawn from the training rows (the Nyström
approximation), and a linear head per agent weighs the comparisons. It is what the nearest
recorded requests would say, smoothed, at the cost of one matrix product; lexical features count
in the distance.

Source: Williams and Seeger, Using the Nyström Method to Speed Up Kernel Machines, NIPS 2000.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.predictors.linear_heads import clipped
from tiny_dancer.predictors.observations import Floats, Observations
from tiny_dancer.predictors.predictor import Description, QualityPredictor, Tensors
from tiny_dancer.predictors.request_inputs import RequestInputs
from tiny_dancer.predictors.ridge_path import PENALTIES, RidgeFit, fit_ridge
from tiny_dancer.training.loss import RowNumbers
from tiny_dancer.training.progress import Progress
from tiny_dancer.weights import Float32Array

_JITTER = 1e-4
"""Added to the kernel's diagonal before it is factored, so that equal landmarks do no harm."""


class KernelHeads(QualityPredictor):
    """Gaussian kernel over landmarks; width, lexical scale and penalty chosen by rows left out.

    Args:
        landmarks: how many training requests to compare with, at most.
        sharpness: factors s of exp(−s‖x − y‖² / 2) to choose from.
        lexical_scales: deviations of a lexical feature, beside embeddings of unit length, to
            choose from.
        penalties: to choose from, ascending.
        seed: of the draw of landmarks.

    Attributes:
        sharpness_, lexical_scale_: what was chosen.
        penalty_, contrast_penalty_, error_: see ``RidgeFit``.
    """

    kind = "kernel"

    def __init__(
        self,
        *,
        landmarks: int = 512,
        sharpness: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0),
        lexical_scales: tuple[float, ...] = (0.07, 0.14),
        penalties: tuple[float, ...] = PENALTIES,
        seed: int = 0,
    ) -> None:
        if landmarks < 1:
            raise InvalidArgumentError(f"landmarks must be at least 1, not {landmarks}")
        self.landmarks = landmarks
        self.sharpness = sharpness
        self.lexical_scales = lexical_scales
        self.penalties = penalties
        self.seed = seed

    def _learn(self, observations: Observations, progress: Progress) -> None:
        rows = self._landmark_rows(observations)
        of = len(self.sharpness) * len(self.lexical_scales)
        progress(0, of, float("nan"))
        done, best = 0, float("inf")
        for lexical_scale in self.lexical_scales:
            inputs = RequestInputs.fit(
                observations, embedding_scale=1.0, lexical_scale=lexical_scale
            )
            points = inputs.transform(observations.embeddings, observations.lexical)
            centres = points[rows]
            distances = _squared_distances(points, centres)
            for sharpness in self.sharpness:
                fit, heads = self._fit(distances, rows, sharpness, observations)
                done += 1
                progress(done, of, fit.error)
                if done == 1 or fit.error < best:
                    best = fit.error
                    self.lexical_scale_ = lexical_scale
                    self.penalty_, self.contrast_penalty_ = fit.penalty, fit.contrast_penalty
                    offset = fit.offset.astype(np.float32)
                    self._set(inputs, centres, sharpness, heads.astype(np.float32), offset)
        self.error_ = best

    def _landmark_rows(self, observations: Observations) -> RowNumbers:
        _, distinct = np.unique(observations.groups(), return_index=True)
        if len(distinct) <= self.landmarks:
            return distinct
        generator = np.random.default_rng(self.seed)
        return np.sort(generator.choice(distinct, self.landmarks, replace=False))

    def _fit(
        self,
        distances: Float32Array,
        rows: RowNumbers,
        sharpness: float,
        observations: Observations,
    ) -> tuple[RidgeFit, Floats]:
        """Fit at one width; heads are [a, landmarks]."""
        kernel = np.exp(np.float32(-0.5 * sharpness) * distances)
        between = kernel[rows].astype(np.float64)
        values, vectors = np.linalg.eigh((between + between.T) / 2.0)
        whitening = vectors / np.sqrt(np.maximum(values, 0.0) + _JITTER)
        features = kernel @ whitening.astype(np.float32)
        fit = fit_ridge(features, observations, self.penalties)
        return fit, (whitening @ fit.coefficients).T

    def _set(
        self,
        inputs: RequestInputs,
        centres: Float32Array,
        sharpness: float,
        heads: Float32Array,
        offset: Float32Array,
    ) -> None:
        self._inputs = inputs
        self._centres = np.ascontiguousarray(centres)
        self.sharpness_ = sharpness
        self._heads = np.ascontiguousarray(heads)
        self._offset = offset
        # exp(−s‖x − c‖²/2) = exp(s x·c − s‖c‖²/2 − s‖x‖²/2): scaled once, not per request.
        self._scaled = np.ascontiguousarray(np.float32(sharpness) * self._centres)
        self._shift = np.float32(0.5 * sharpness) * (self._centres**2).sum(axis=1)

    def _predict_batch(self, embeddings: Float32Array, lexical: Float32Array) -> Floats:
        points = self._inputs.transform(embeddings, lexical)
        own = np.float32(0.5 * self.sharpness_) * (points**2).sum(axis=1, keepdims=True)
        kernel = np.exp(np.minimum(points @ self._scaled.T - self._shift - own, 0.0))
        return clipped(kernel @ self._heads.T + self._offset)

    def _predict(self, embedding: Float32Array, lexical: Float32Array) -> Floats:
        point = self._inputs.transform(embedding, lexical)
        kernel = self._scaled.dot(point)
        kernel -= self._shift
        kernel -= np.float32(0.5 * self.sharpness_) * point.dot(point)
        np.exp(kernel, kernel)
        return clipped(self._heads.dot(kernel) + self._offset)

    def _state(self) -> tuple[Tensors, Description]:
        tensors = {
            **self._inputs.tensors(),
            "centres": self._centres,
            "heads": self._heads,
            "offset": self._offset,
        }
        return tensors, {
            "sharpness": self.sharpness_,
            "lexical_scale": self.lexical_scale_,
            "penalty": self.penalty_,
            "contrast_penalty": self.contrast_penalty_,
            "error": self.error_,
        }

    @classmethod
    def _from_state(
        cls, tensors: Mapping[str, Float32Array], description: Mapping[str, Any]
    ) -> Self:
        self = cls()
        self.lexical_scale_ = float(description["lexical_scale"])
        self.penalty_ = float(description["penalty"])
        self.contrast_penalty_ = float(description["contrast_penalty"])
        self.error_ = float(description["error"])
        self._set(
            RequestInputs.from_tensors(tensors),
            tensors["centres"],
            float(description["sharpness"]),
            tensors["heads"],
            tensors["offset"],
        )
        return self


def _squared_distances(points: Float32Array, centres: Float32Array) -> Float32Array:
    lengths = (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)
    return np.asarray(np.maximum(lengths - 2.0 * (points @ centres.T), 0.0), dtype=np.float32)
