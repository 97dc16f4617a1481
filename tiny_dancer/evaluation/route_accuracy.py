"""How good semantic routes are on requests whose right route is known, or that mean none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.evaluation.calibration import reliability
from tiny_dancer.training.calibration import calibration_error

Floats = NDArray[np.float64]
Routes = NDArray[np.intp]

NONE = -1
"""The route of a request that means none of the routes."""
ACCEPTED_SHARE = 0.95
"""At which share of requests in scope accepted false positives are counted."""
WORST = 10
"""How many confusions are listed."""
BINS = 10
"""Of about equal mass, by which confidence is compared with what came true."""


@dataclass(frozen=True, slots=True, eq=False)
class RouteJudgements:
    """What was made of some requests.

    Attributes:
        wanted: the right route of each, or NONE, [n].
        guesses: the route that it was matched to, or would have been were it in scope, [n].
        confidences: of the guess, [n].
        margins: how far within scope, [n]; matched from 0 on.
    """

    wanted: Routes
    guesses: Routes
    confidences: Floats
    margins: Floats

    def rows(self, numbers: NDArray[np.int64]) -> RouteJudgements:
        """Return what was made of some of them, repeats included."""
        return RouteJudgements(
            self.wanted[numbers],
            self.guesses[numbers],
            self.confidences[numbers],
            self.margins[numbers],
        )

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """Whether each was matched to a route."""
        return np.asarray(self.margins >= 0.0)

    @property
    def in_scope(self) -> NDArray[np.bool_]:
        """Whether each means one of the routes."""
        return np.asarray(self.wanted != NONE)

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """Whether the guess is the right route, in scope or not."""
        return np.asarray(self.guesses == self.wanted)


def totals(judged: RouteJudgements) -> dict[str, float]:
    """Return the figures over all requests; those that do not exist are left out.

    ``accuracy`` counts a request in scope as right if it was matched, and to its route;
    ``accuracy_if_accepted_all`` leaves the thresholds aside. ``out_of_scope_auroc`` is the
    probability that a request in scope lies further within scope than one out of scope, and
    ``out_of_scope_accepted_at_95`` the share of these that pass where 95 % of the others do.
    """
    inside, right, accepted = judged.in_scope, judged.is_right, judged.accepted
    found: dict[str, float] = {
        "examples": len(inside),
        "in_scope": int(inside.sum()),
        "out_of_scope": int((~inside).sum()),
    }
    if inside.any():
        confidences = judged.confidences[inside]
        found |= {
            "accuracy": _share(right & accepted, inside),
            "accuracy_if_accepted_all": _share(right, inside),
            "accepted": _share(accepted, inside),
            "calibration_error": calibration_error(confidences, right[inside]),
            "brier": float(((confidences - right[inside]) ** 2).mean()),
        }
    if not inside.all():
        found["out_of_scope_recall"] = _share(~accepted, ~inside)
    if inside.any() and not inside.all():
        within, without = judged.margins[inside], judged.margins[~inside]
        least = float(np.quantile(within, 1.0 - ACCEPTED_SHARE))
        found |= {
            "out_of_scope_auroc": auroc(within, without),
            "out_of_scope_accepted_at_95": float((without >= least).mean()),
        }
    return found


def _share(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    return float(hits[among].mean())


def auroc(high: Floats, low: Floats) -> float:
    """Return the probability that one of ``high`` exceeds one of ``low``, ties counting half."""
    ordered = np.sort(low)
    below = np.searchsorted(ordered, high, side="left")
    not_above = np.searchsorted(ordered, high, side="right")
    return float((below + not_above).mean() / (2 * len(low)))


def reliability_of(judged: RouteJudgements) -> Floats:
    """Return rows of (mean confidence, share right, count) of requests in scope, by bin."""
    inside = judged.in_scope
    if not inside.any():
        return np.zeros((0, 3))
    return reliability(judged.confidences[inside], judged.is_right[inside].astype(np.float64), BINS)


def by_route(judged: RouteJudgements, routes: int) -> list[dict[str, float]]:
    """Return the figures of each route, in order.

    ``examples`` that mean it; ``recall`` is the share of them matched to it, ``rejected`` the share
    matched to none; ``precision`` the share of the requests matched to it that mean it.
    """
    figures = []
    hit = judged.is_right & judged.accepted
    for route in range(routes):
        means_it = judged.wanted == route
        taken = (judged.guesses == route) & judged.accepted
        found: dict[str, float] = {"examples": int(means_it.sum())}
        if means_it.any():
            found["recall"] = _share(hit, means_it)
            found["rejected"] = _share(~judged.accepted, means_it)
        if taken.any():
            found["precision"] = _share(means_it, taken)
        figures.append(found)
    return figures


def worst_confusions(judged: RouteJudgements, most: int = WORST) -> list[tuple[int, int, int]]:
    """Return (right route or NONE, route matched, how often), the most frequent first."""
    wrong = judged.accepted & ~judged.is_right
    pairs: Sequence[tuple[int, int]] = list(
        zip(judged.wanted[wrong].tolist(), judged.guesses[wrong].tolist(), strict=True)
    )
    counted = sorted(Counter(pairs).items(), key=lambda item: (-item[1], item[0]))
    return [(wanted, guess, count) for (wanted, guess), count in counted[:most]]
