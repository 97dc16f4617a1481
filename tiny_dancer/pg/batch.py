"""Entry point of batch routing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.agent import MAX_TAGS, check_labels
from tiny_dancer.batch import (
    NOBODY,
    BatchDecision,
    Requests,
    blocks,
    candidates_of,
    decide,
    estimate_block,
    join,
    route_block,
)
from tiny_dancer.batch_cost import Options, cheapest, cheapest_above, options
from tiny_dancer.constraints import RoutingConstraints
from tiny_dancer.errors import InvalidArgumentError, TinyDancerError
from tiny_dancer.lexical_features import lexical_matrix
from tiny_dancer.pg.batch_answers import Answers, Column, answers, columns
from tiny_dancer.pg.batch_embeddings import read_vectors
from tiny_dancer.pg.nearest import registry_near
from tiny_dancer.pg.routing import dial
from tiny_dancer.policies import BATCH_TARGETS, check_target
from tiny_dancer.request import check_text, estimate_tokens
from tiny_dancer.router import Router

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend
    from tiny_dancer.pg.snapshot import Configuration, Snapshot

MAX_REQUESTS = 1_000_000
# An average floor looks at the whole batch at once: this many requests × agents at most.
MAX_JOINT_ELEMENTS = 50_000_000
NOTICE_EVERY_SECONDS = 2.0


class Valid(NamedTuple):
    """The requests that can be routed: their places in the batch, and what they are."""

    places: list[int]
    requests: Requests


def batch_route(
    backend: Backend,
    texts: list[str | None] | None,
    optimize_for: str | None,
    required_capabilities: list[str] | None,
    max_cost: float | None,
    max_latency_ms: float | None,
    min_quality: float | None,
    excluded_agents: list[str] | None,
    budget_remaining: float | None,
    embeddings: bytes | None,
    quality_floor: float | None,
    cost_weight: float | None,
    tags: list[str | None] | None,
) -> tuple[Column | None, ...]:
    """Return the columns of tiny_dancer.batch_route."""
    target = check_target(optimize_for, batch=True)
    weights = dial(cost_weight, target)
    joint = target in BATCH_TARGETS
    constraints = RoutingConstraints(
        required_capabilities,
        max_cost,
        max_latency_ms,
        min_quality,
        excluded_agents,
        budget_remaining,
        quality_floor,
    ).checked()
    labels = check_labels(tags, what="tags", most=MAX_TAGS) or ()
    batch = _check_batch(texts)
    snapshot = backend.snapshots.current()
    errors: dict[int, str] = {}
    valid = _valid_requests(backend, snapshot, batch, embeddings, errors)
    if snapshot.registry is None:
        if joint:
            _refuse_joint()
        near = _Near(backend, snapshot, labels, constraints, target, weights)
        return columns(_answers_near(near, len(batch), valid, errors), errors)
    router = backend.live.router(snapshot, snapshot.registry, labels)
    if joint:
        decision = _route_jointly(backend, router, valid.requests, constraints)
    else:
        decision = _route_blocks(backend, router, valid.requests, constraints, target, weights)
    for index in np.flatnonzero(decision.position == NOBODY).tolist():
        errors[valid.places[index]] = _nobody(router, valid.requests, index, constraints)
    found = answers(router, decision, target).spread(valid.places, len(batch))
    return columns(found, errors)


def _check_batch(texts: list[str | None] | None) -> list[str | None]:
    if texts is None:
        raise InvalidArgumentError("requests must not be NULL", hint="Pass an array of text.")
    if any(isinstance(text, list) for text in texts):
        raise InvalidArgumentError(
            "requests must be a flat array", hint="Pass a one-dimensional array of text."
        )
    if len(texts) > MAX_REQUESTS:
        raise InvalidArgumentError(
            f"{len(texts)} requests are too many", hint=f"Pass at most {MAX_REQUESTS} at once."
        )
    return texts


def _valid_requests(
    backend: Backend,
    snapshot: Snapshot,
    texts: list[str | None],
    embeddings: bytes | None,
    errors: dict[int, str],
) -> Valid:
    """Check and embed each request; note in ``errors`` what is wrong with the others."""
    configuration = snapshot.configuration
    checked = _check_texts(texts, configuration.settings.max_request_characters, errors)
    if embeddings is None:
        vectors = _embedded(backend, configuration, checked)
    else:
        vectors = _given(embeddings, configuration, len(texts), errors)
    places = [place for place in checked if place not in errors]
    # A copy of all rows takes as long as all that is done with them here.
    rows = vectors if len(places) == len(vectors) else vectors[places]
    valid = [checked[place] for place in places]
    tokens = np.array([estimate_tokens(text) for text in valid], dtype=np.int64)
    lexical = None
    if snapshot.goes_by_wording and valid:
        lexical = lexical_matrix(valid)
    return Valid(places, Requests(tokens, rows, lexical))


def _check_texts(texts: list[str | None], most: int, errors: dict[int, str]) -> dict[int, str]:
    """Return the texts that can be routed, by their places."""
    checked: dict[int, str] = {}
    for place, text in enumerate(texts):
        try:
            checked[place] = check_text(text, what="request", most=most)
        except InvalidArgumentError as error:
            errors[place] = error.message
    return checked


def _given(
    sent: bytes, configuration: Configuration, count: int, errors: dict[int, str]
) -> NDArray[np.float32]:
    """Return the vectors that came with the requests; a bad text is told before a bad vector."""
    given = read_vectors(sent, configuration.required_model.dimension)
    if len(given.vectors) != count:
        raise InvalidArgumentError(
            f"{count} requests came with {len(given.vectors)} embeddings",
            hint="Pass one embedding for each request, in the same order.",
        )
    errors.update({**given.errors, **errors})
    return given.vectors


def _embedded(
    backend: Backend, configuration: Configuration, texts: dict[int, str]
) -> NDArray[np.float32]:
    """Return the vectors of texts by the active model, each text embedded once."""
    provider = backend.provider(configuration)
    progress = backend.progress(NOTICE_EVERY_SECONDS)
    known: dict[str, NDArray[np.float32]] = {}
    for done, text in enumerate(texts.values(), 1):
        if text not in known:
            known[text] = provider.embed(text)
        progress(f"embedded {done} of {len(texts)} requests")
    if not texts:
        return np.zeros((0, configuration.required_model.dimension), np.float32)
    return np.stack([known[text] for text in texts.values()])


def _route_blocks(
    backend: Backend,
    router: Router,
    requests: Requests,
    constraints: RoutingConstraints,
    target: str,
    weights: Any,
) -> BatchDecision:
    progress = backend.progress(NOTICE_EVERY_SECONDS)
    decisions = []
    for block in _blocks(router, requests):
        part = requests.part(block)
        decisions.append(route_block(router, part, constraints, target, weights))
        progress(f"routed {block.stop} of {len(requests.input_tokens)} requests")
    return join(decisions) if decisions else _nothing(len(requests.input_tokens))


class _Near(NamedTuple):
    """How requests are routed one by one over the agents near to each."""

    backend: Backend
    snapshot: Snapshot
    tags: tuple[str, ...]
    constraints: RoutingConstraints
    target: str
    weights: Any


def _answers_near(near: _Near, count: int, valid: Valid, errors: dict[int, str]) -> Answers:
    """Route over a registry too large to keep: each request over the agents nearest to it."""
    found = Answers.nothing(count)
    progress = near.backend.progress(NOTICE_EVERY_SECONDS)
    for index, place in enumerate(valid.places):
        one = valid.requests.part(slice(index, index + 1))
        router = _router_near(near, one.embeddings[0])
        decision = route_block(router, one, near.constraints, near.target, near.weights)
        if decision.position[0] == NOBODY:
            errors[place] = _nobody(router, one, 0, near.constraints)
        found.put(answers(router, decision, near.target), [place])
        progress(f"routed {index + 1} of {len(valid.places)} requests")
    return found


def _router_near(near: _Near, vector: NDArray[np.float32]) -> Router:
    registry = registry_near(near.backend, near.snapshot.configuration, vector)
    return near.backend.live.router(near.snapshot, registry, near.tags)


def _refuse_joint() -> NoReturn:
    raise InvalidArgumentError(
        "the registry is too large to minimise the total cost of a batch over it",
        detail="A backend keeps no copy of it, so no request is weighed against every agent.",
        hint="Raise the setting snapshot_megabytes, or optimize for something else.",
    )


def _blocks(router: Router, requests: Requests) -> Any:
    return blocks(len(requests.input_tokens), len(router.registry)) if len(router.registry) else ()


def _nothing(count: int) -> BatchDecision:
    unknown = np.full(count, np.nan)
    return BatchDecision(np.full(count, NOBODY), np.zeros(count, int), unknown, unknown, unknown)


def _route_jointly(
    backend: Backend, router: Router, requests: Requests, constraints: RoutingConstraints
) -> BatchDecision:
    """Minimise the summed cost; a quality floor is one under the average here."""
    floor, each = constraints.quality_floor, constraints.without_floor()
    if floor is not None:
        _check_joint_size(len(requests.input_tokens) * len(router.registry))
    progress = backend.progress(NOTICE_EVERY_SECONDS)
    decisions, choices = [], []
    latency = router.performance.latency_ms
    for block in _blocks(router, requests):
        part = requests.part(block)
        estimate = estimate_block(router, part)
        kept = candidates_of(router, part, estimate, each)
        usable = kept.any(axis=1)
        open_to = options(estimate.cost[usable], estimate.expected_quality[usable], kept[usable])
        wanted = np.zeros(kept.shape)
        if usable.any():
            rows = np.flatnonzero(usable)
            wanted[rows, cheapest(open_to, latency)] = 1.0
        decisions.append(decide(router, estimate, kept, wanted))
        if floor is not None:
            choices.append((open_to, estimate.cost[usable]))
        progress(f"weighed {block.stop} of {len(requests.input_tokens)} requests")
    decision = join(decisions) if decisions else _nothing(len(requests.input_tokens))
    if floor is None or not choices or not (decision.position != NOBODY).any():
        return decision
    return _above_floor(decision, choices, floor, latency)


def _above_floor(
    decision: BatchDecision, choices: list[tuple[Options, Any]], floor: float, latency: Any
) -> BatchDecision:
    cost = np.concatenate([costs for _, costs in choices])
    parts = zip(*(open_to for open_to, _ in choices), strict=True)
    together = Options(*(np.concatenate(part) for part in parts))
    chosen = cheapest_above(together, floor, latency)
    rows = np.arange(len(chosen))
    somebody = decision.position != NOBODY
    decision.position[somebody] = chosen
    decision.cost[somebody] = cost[rows, chosen]
    decision.expected_quality[somebody] = together.quality[rows, chosen]
    return decision


def _check_joint_size(elements: int) -> None:
    if elements > MAX_JOINT_ELEMENTS:
        raise InvalidArgumentError(
            f"{elements} requests × agents are too many for a floor under the average",
            detail=f"At most {MAX_JOINT_ELEMENTS} are weighed against each other.",
            hint="Split the batch; each part then reaches the floor by itself.",
        )


def _nobody(router: Router, requests: Requests, index: int, constraints: RoutingConstraints) -> str:
    """Return why nobody fits, as the single call says it."""
    single = requests.single(index)
    try:
        router.candidates(router.estimate(single), single, constraints)
    except TinyDancerError as error:
        return f"{error.message}: {error.detail}" if error.detail else error.message
    raise AssertionError("a batch and a single call disagree")  # pragma: no cover
