"""Entry points of calibrating the dial between quality and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tiny_dancer import lexical_features
from tiny_dancer.agents.agent import check_name
from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.batch import Requests
from tiny_dancer.cost_dial import CostDial, calibrate, check_targets
from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.learning.outcome_table import MOST_FEATURE
from tiny_dancer.pg import store
from tiny_dancer.pg.examples import READING_ONLY, read_examples
from tiny_dancer.pg.own_path import own_path
from tiny_dancer.pg.vector_rights import require_vectors
from tiny_dancer.request import check_text, estimate_tokens
from tiny_dancer.router import Router

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend
    from tiny_dancer.pg.model import ActiveModel
    from tiny_dancer.pg.snapshot import Configuration, Snapshot

NOTICE_EVERY_SECONDS = 2.0
ROWS_AT_ONCE = 1000
# Requests; and requests × agents, for the estimates of all are kept.
MOST_REQUESTS = 20_000
MOST_ELEMENTS = 4_000_000
LENGTH_MARGIN = 0.01

RECORDED = """
SELECT r.* FROM tiny_dancer.recorded_requests(pg_catalog.now() - $1::interval, $2, $3) r
"""
IS_SENSIBLE = "SELECT ($1 > '0'::interval) IS TRUE AS is_sensible"
REQUEST_TEXTS = f"""
SELECT e.request
FROM {READING_ONLY},
     LATERAL tiny_dancer.request_texts(
         CASE WHEN read_only.value IS NOT NULL THEN $1 END) AS e (request)
"""


def request_texts(backend: Backend, query: str | None) -> list[str | None]:
    """Return the rows (request) of a query."""
    return [row[0] for row in read_examples(backend, query, ("request text",))]


def calibrate_router(
    backend: Backend,
    quality_target: float | None,
    max_strong_share: float | None,
    query: str | None,
    time_range: str | None,
    strong_agent: str | None,
) -> tuple[Any, ...]:
    """Return the columns of ruvector_calibrate_router."""
    check_targets(quality_target, max_strong_share)
    if strong_agent is not None:
        check_name(strong_agent, what="strong_agent")
    rows = None if query is None else backend.rows(REQUEST_TEXTS, ("pg_catalog.text",), query)
    with own_path(backend):
        return _calibrate_on(
            backend, quality_target, max_strong_share, rows, time_range, strong_agent
        )


def _calibrate_on(
    backend: Backend,
    quality_target: float | None,
    max_strong_share: float | None,
    rows: Any,
    time_range: str | None,
    strong_agent: str | None,
) -> tuple[Any, ...]:
    snapshot = backend.snapshots.current()
    if snapshot.registry is None:
        raise InvalidArgumentError(
            "the registry is too large to calibrate over",
            detail="A backend keeps no copy of it.",
            hint="Raise the setting snapshot_megabytes.",
        )
    configuration = snapshot.configuration
    most = _most_requests(snapshot.registry)
    if rows is None:
        requests = _recorded(backend, snapshot, time_range, most)
    else:
        requests = _asked(backend, configuration, rows, most)
    # The dial is for every day: who is out of order or short of money at this moment counts too.
    known = backend.live.router(snapshot, snapshot.registry, ())
    router = Router(
        snapshot.registry, configuration.settings, known.performance, learned=known.learned
    )
    progress = backend.progress(NOTICE_EVERY_SECONDS)
    return tuple(
        calibrate(
            CostDial(router, requests, progress), quality_target, max_strong_share, strong_agent
        )
    )


def _most_requests(registry: AgentRegistry) -> int:
    return min(MOST_REQUESTS, max(1, MOST_ELEMENTS // max(1, len(registry))))


def _recorded(backend: Backend, snapshot: Snapshot, time_range: str | None, most: int) -> Requests:
    """Read the requests of recorded decisions, an even sample where there are too many.

    Those are left out whose vector the router could not go by: whoever may record may store any.
    """
    require_vectors(backend, "calibrate")
    row: Any = backend.row(IS_SENSIBLE, ("interval",), time_range)
    if not row["is_sensible"]:
        raise InvalidArgumentError(
            f"time_range is {'NULL' if time_range is None else time_range}",
            hint="Give an interval above 0, for example '30 days'.",
        )
    model = snapshot.configuration.required_model
    plan = backend.plpy.prepare(RECORDED, ["interval", "bigint", "integer"])
    cursor = backend.plpy.cursor(plan, [time_range, model.id, most])
    progress = backend.progress(NOTICE_EVERY_SECONDS)
    collected = _Collected([], [], [])
    count = 0 if snapshot.router_model is None else snapshot.router_model.predictor.lexical_dim_
    while rows := cursor.fetch(ROWS_AT_ONCE):
        for row in rows:
            vector = store.half_vector_from_bytes(row["embedding"])
            length = float(vector.dot(vector))
            features = row["features"] or []
            if len(vector) != model.dimension or abs(length - 1.0) >= LENGTH_MARGIN:
                continue
            if not _are_usual(features, count):
                continue
            collected.add(row["input_tokens"], vector / np.float32(length**0.5), features[:count])
        progress(f"read {len(collected.tokens)} requests")
    return collected.requests(model)


def _are_usual(features: list[Any], count: int) -> bool:
    """Whether a model that goes by the first ``count`` lexical features can go by these."""
    if not count:
        return True
    return count <= len(features) in lexical_features.RECORDED_COUNTS and all(
        isinstance(value, float) and abs(value) <= MOST_FEATURE for value in features
    )


def _asked(backend: Backend, configuration: Configuration, rows: Any, most: int) -> Requests:
    """Embed the requests that a query returned."""
    if len(rows) > most:
        raise InvalidArgumentError(
            f"the query returns {len(rows)} requests",
            detail=f"At most {most} are looked at with this registry.",
            hint="Calibrate by a sample of them.",
        )
    provider = backend.provider(configuration)
    progress = backend.progress(NOTICE_EVERY_SECONDS)
    longest = configuration.settings.max_request_characters
    known: dict[str, NDArray[np.float32]] = {}
    collected = _Collected([], [], [])
    for place, row in enumerate(rows, start=1):
        text = check_text(row["request"], what=f"request {place}", most=longest)
        if text not in known:
            known[text] = provider.embed(text)
        words = lexical_features.lexical_features(text)
        collected.add(estimate_tokens(text), known[text], words)
        progress(f"embedded {place} of {len(rows)} requests")
    return collected.requests(configuration.required_model)


class _Collected(NamedTuple):
    """Requests one by one: their lengths, vectors and lexical features."""

    tokens: list[int]
    vectors: list[NDArray[np.float32]]
    words: list[ArrayLike]

    def add(self, tokens: int, vector: NDArray[np.float32], words: ArrayLike) -> None:
        """Take in a request."""
        self.tokens.append(tokens)
        self.vectors.append(vector)
        self.words.append(words)

    def requests(self, model: ActiveModel) -> Requests:
        """Return all of them as arrays."""
        if not self.tokens:
            return Requests(np.zeros(0, np.int64), np.zeros((0, model.dimension), np.float32))
        return Requests(
            np.array(self.tokens, dtype=np.int64),
            np.stack(self.vectors),
            np.array(self.words, dtype=np.float32),
        )
