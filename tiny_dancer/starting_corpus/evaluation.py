"""How good the starting classifiers are on the part of the corpus that is held out.

``tiny-dancer classifier evaluate`` prints it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tiny_dancer.classifier import ClassifierSettings
from tiny_dancer.starting_corpus.corpus import StartingRequest, kinds
from tiny_dancer.starting_corpus.starting_classifiers import fit_starting_classifiers, indicator
from tiny_dancer.training.calibration import calibration_error
from tiny_dancer.training.progress import Progress, no_progress
from tiny_dancer.weights import Float32Array


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured on the rows held out.

    Attributes:
        training_rows: rows trained on.
        held_out_rows: rows judged by.
        accuracy: share of them whose kind was the first answer.
        top_three: share of them whose kind was among the first three answers.
        calibration_error: of the first answer's probability, ten bins of equal mass.
        expected_calibration_error: what a perfectly calibrated classifier that gave the same
            probabilities would show on as many rows, on average; never zero.
        accuracy_by_kind: the accuracy over the rows of each kind.
        confusions: the commonest mistakes: kind, what was said instead, how often.
        precision: of the capabilities at the threshold 0.5, over all rows and capabilities.
        recall: likewise.
        f1: likewise.
        capabilities_calibration_error: of all their probabilities.
    """

    training_rows: int
    held_out_rows: int
    accuracy: float
    top_three: float
    calibration_error: float
    expected_calibration_error: float
    accuracy_by_kind: dict[str, float]
    confusions: list[tuple[str, str, int]]
    precision: float
    recall: float
    f1: float
    capabilities_calibration_error: float


def evaluate(
    requests: Sequence[StartingRequest],
    embeddings: Float32Array,
    *,
    settings: ClassifierSettings | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Train on the rows for training, judge by the rows held out.

    Args:
        requests: the corpus.
        embeddings: of its texts, [n, D].
        settings: of the classifiers.
        progress: told of the training; may raise to cancel.
    """
    out = np.array([request.held_out for request in requests])
    training = [request for request in requests if not request.held_out]
    judged = [request for request in requests if request.held_out]
    fitted = fit_starting_classifiers(
        training, embeddings[~out], settings=settings, progress=progress
    )
    probabilities = fitted.kind.predict_proba(embeddings[out])
    ranks = np.argsort(-probabilities, axis=1)
    classes = np.array(fitted.kind.classes_)
    truth = np.array([request.kind for request in judged])
    right = classes[ranks[:, 0]] == truth
    confidences = probabilities.max(axis=1)
    names = fitted.capabilities.classes_
    needed = indicator(judged, names)
    said = fitted.capabilities.predict_proba(embeddings[out])
    both, claimed = float(((said >= 0.5) & needed).sum()), float((said >= 0.5).sum())
    return Evaluation(
        training_rows=len(training),
        held_out_rows=len(judged),
        accuracy=float(right.mean()),
        top_three=float((classes[ranks[:, :3]] == truth[:, None]).any(axis=1).mean()),
        calibration_error=calibration_error(confidences, right),
        expected_calibration_error=_error_of_perfection(confidences),
        accuracy_by_kind={kind: float(right[truth == kind].mean()) for kind in kinds(judged)},
        confusions=_confusions(truth[~right], classes[ranks[~right, 0]]),
        precision=both / max(1.0, claimed),
        recall=both / float(needed.sum()),
        f1=2.0 * both / (claimed + float(needed.sum())),
        capabilities_calibration_error=calibration_error(said.ravel(), needed.ravel()),
    )


def report(evaluation: Evaluation) -> Iterator[str]:
    """The evaluation as lines to print."""
    e = evaluation
    yield f"trained on {e.training_rows} requests, judged by {e.held_out_rows} held out"
    yield ""
    yield f"kind: accuracy                {100 * e.accuracy:5.1f} %"
    yield f"kind: among the first three   {100 * e.top_three:5.1f} %"
    yield f"kind: calibration error       {e.calibration_error:6.3f}"
    yield f"  (perfect calibration shows  {e.expected_calibration_error:6.3f} on so few rows)"
    yield ""
    for kind, accuracy in e.accuracy_by_kind.items():
        yield f"  {kind:<20} {100 * accuracy:5.1f} %"
    yield ""
    yield "commonest mistakes: " + ", ".join(
        f"{kind} as {said} ({count})" for kind, said, count in e.confusions
    )
    yield ""
    yield f"capabilities: precision       {100 * e.precision:5.1f} %"
    yield f"capabilities: recall          {100 * e.recall:5.1f} %"
    yield f"capabilities: F1              {100 * e.f1:5.1f} %"
    yield f"capabilities: calibration     {e.capabilities_calibration_error:6.3f}"


def _confusions(
    truth: np.ndarray[tuple[int], np.dtype[np.str_]],
    said: np.ndarray[tuple[int], np.dtype[np.str_]],
) -> list[tuple[str, str, int]]:
    counts: dict[tuple[str, str], int] = {}
    for pair in zip(truth.tolist(), said.tolist(), strict=True):
        counts[pair] = counts.get(pair, 0) + 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(kind, answer, count) for (kind, answer), count in ranked[:8]]


def _error_of_perfection(confidences: Float32Array, draws: int = 200) -> float:
    """The mean calibration error when each answer is right exactly as often as was said."""
    generator = np.random.default_rng(0)
    return float(
        np.mean(
            [
                calibration_error(confidences, generator.random(len(confidences)) < confidences)
                for _ in range(draws)
            ]
        )
    )
