"""Many requests at once: the same decisions as one by one, as matrices of requests × agents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.capabilities import capability_match
from tiny_dancer.agents.pool import keep_representatives
from tiny_dancer.constraints import RoutingConstraints, constraint_masks
from tiny_dancer.policies import POLICIES, Candidates, Weights
from tiny_dancer.policies.normalisation import LEAST_COST, less_is_better
from tiny_dancer.request import Request
from tiny_dancer.router import Estimate, Router
from tiny_dancer.tie_rounding import round_scores, round_similarities

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Positions = NDArray[np.intp]

# Elements of a requests × agents matrix that are worked on at once: half a megabyte each, which
# stays in the processor's cache, and takes milliseconds, after which a cancel can take effect.
BLOCK_ELEMENTS = 1 << 16

NOBODY = -1


class Requests(NamedTuple):
    """r requests.

    Attributes:
        input_tokens: their lengths, [r].
        embeddings: unit vectors, float32 [r, d].
        lexical: lexical features, [r, l]; only where what was learned goes by them.
    """

    input_tokens: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    lexical: NDArray[np.float32] | None = None

    def part(self, block: slice) -> Requests:
        """Return some of the requests."""
        lexical = None if self.lexical is None else self.lexical[block]
        return Requests(self.input_tokens[block], self.embeddings[block], lexical)

    def single(self, index: int) -> Request:
        """Return one of the requests."""
        lexical = None if self.lexical is None else self.lexical[index]
        return Request(int(self.input_tokens[index]), self.embeddings[index], lexical)


class BatchDecision(NamedTuple):
    """The decisions of r requests, as arrays of r elements.

    Attributes:
        position: of the chosen agent in the registry, NOBODY where none fits.
        candidates: how many agents passed the constraints.
        cost: estimated dollars, NaN where unknown or nobody was chosen.
        expected_quality: of the chosen agent, NaN where nobody was.
        score: what it was ranked by, NaN where nobody was.
    """

    position: Positions
    candidates: Positions
    cost: Floats
    expected_quality: Floats
    score: Floats


def blocks(count: int, agents: int) -> Iterator[slice]:
    """Yield slices of the requests whose matrices are small enough to work on at once."""
    size = max(1, BLOCK_ELEMENTS // max(1, agents))
    for start in range(0, count, size):
        yield slice(start, min(count, start + size))


def route_block(
    router: Router,
    requests: Requests,
    constraints: RoutingConstraints,
    optimize_for: str,
    weights: Weights | None = None,
) -> BatchDecision:
    """Return the decisions of a block of requests."""
    estimate = estimate_block(router, requests)
    kept = candidates_of(router, requests, estimate, constraints)
    has_floor = constraints.quality_floor is not None
    scores = score_block(router, estimate, kept, optimize_for, weights, has_floor=has_floor)
    return decide(router, estimate, kept, scores)


def score_block(
    router: Router,
    estimate: Estimate,
    kept: Booleans,
    optimize_for: str,
    weights: Weights | None = None,
    *,
    has_floor: bool = False,
) -> Floats:
    """Return the scores of a block of requests, higher is better, [b, n]; see ``Candidates``."""
    are_all_kept = bool(kept.all())
    candidates = Candidates(
        cost=estimate.cost,
        latency_ms=np.broadcast_to(router.performance.latency_ms, estimate.cost.shape),
        expected_quality=estimate.expected_quality,
        match=estimate.match,
        has_floor=has_floor,
        kept=None if are_all_kept else kept,
        cost_scores=estimate.cost_scores if are_all_kept else None,
        latency_scores=router.speed_scores() if are_all_kept else None,
    )
    scores = POLICIES[optimize_for](candidates, weights or router.weights)
    return round_scores(scores)


def estimate_block(router: Router, requests: Requests) -> Estimate:
    """Return what is expected of every agent for each request, as [b, n] matrices."""
    registry, performance = router.registry, router.performance
    similarity = _similarities(router, requests.embeddings)
    reference = (similarity @ registry.reference_weights)[:, None]
    if not registry.all_embedded:
        similarity = np.where(registry.embedded, similarity, reference)
    heads = None
    if router.learned is not None:
        heads = router.learned.head_log_odds_batch(requests.embeddings, requests.lexical)
    quality = router.quality(similarity, reference, heads)
    # Requests are of far fewer lengths than there are requests.
    lengths, which = np.unique(requests.input_tokens, return_inverse=True)
    cost = lengths[:, None].astype(np.float64) * registry.input_price
    cost += performance.constant_cost
    if not performance.all_priced:
        cost[:, ~performance.priced] = np.nan
    scores = less_is_better(cost, LEAST_COST, np.ones(cost.shape, dtype=bool))
    return Estimate(
        similarity, capability_match(similarity), cost[which], quality, scores[which], heads
    )


def _similarities(router: Router, embeddings: NDArray[np.float32]) -> Floats:
    """Return the rounded cosines of requests and agents, shape [b, n].

    A stack of products of a matrix and a vector, and not one product of two matrices: that is
    summed up in another order, would differ in the last bits, and a batch would now and then decide
    otherwise than a single call.
    """
    registry = router.registry
    products = np.matmul(registry.distinct_embeddings, embeddings[:, :, None])[:, :, 0]
    similarity = round_similarities(products)
    return similarity if registry.distinct_of is None else similarity[:, registry.distinct_of]


def candidates_of(
    router: Router, requests: Requests, estimate: Estimate, constraints: RoutingConstraints
) -> Booleans:
    """Return which agents pass every constraint of which request, shape [b, n]."""
    kept = np.ones(estimate.cost.shape, dtype=bool)
    for _, passes in constraint_masks(
        constraints,
        router.registry,
        router.performance,
        router.live,
        input_tokens=requests.input_tokens[:, None].astype(np.float64),
        cost=estimate.cost,
        expected_quality=estimate.expected_quality,
    ):
        kept &= passes
    if router.registry.has_pools:
        keep_representatives(
            kept, router.registry.pool_ids, router.live.in_flight, router.registry.weights
        )
    return kept


def decide(router: Router, estimate: Estimate, kept: Booleans, scores: Floats) -> BatchDecision:
    """Return the candidate with the highest score of each request.

    Ties are broken as in a single decision: by cost, then latency, then name; unknown comes last.
    """
    ranked = np.where(kept, scores, -np.inf)
    best = ranked == ranked.max(axis=1, keepdims=True)
    best &= kept
    latency = np.broadcast_to(router.performance.latency_ms, kept.shape)
    for tie_break in (estimate.cost, latency):
        _keep_least(best, tie_break)
    # The first of those left is the first by name.
    position = best.argmax(axis=1)
    count = kept.sum(axis=1)
    rows = np.arange(len(position))
    nobody = count == 0
    chosen = [
        matrix[rows, position] for matrix in (estimate.cost, estimate.expected_quality, scores)
    ]
    for values in chosen:
        values[nobody] = np.nan
    position[nobody] = NOBODY
    return BatchDecision(position, count, *chosen)


def _keep_least(best: Booleans, values: Floats) -> None:
    """Of several best in a row, keep those with the least value; NaN counts as infinite."""
    tied = np.flatnonzero(best.sum(axis=1) > 1)
    if len(tied):
        among = np.where(best[tied], np.nan_to_num(values[tied], nan=np.inf), np.inf)
        least = among.min(axis=1, keepdims=True)
        best[tied] &= among == least


def join(decisions: list[BatchDecision]) -> BatchDecision:
    """Return the decisions of all blocks as one."""
    return BatchDecision(*(np.concatenate(parts) for parts in zip(*decisions, strict=True)))
