"""Entry points that learn from examples what requests mean, and measure it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tiny_dancer.errors import InvalidArgumentError, NotReadyError, UnknownObjectError, shown
from tiny_dancer.evaluation.route_accuracy import (
    NONE,
    RouteJudgements,
    by_route,
    reliability_of,
    totals,
    worst_confusions,
)
from tiny_dancer.pg import route_heads, route_index, route_store
from tiny_dancer.pg.classification import LABELLED_TEXTS, NOTICE_EVERY_SECONDS, embed_distinct
from tiny_dancer.pg.own_path import own_path
from tiny_dancer.pg.read_only import require_writable
from tiny_dancer.pg.snapshot import Configuration, read_configuration
from tiny_dancer.route_fitting import OUT_OF_SCOPE, Examples, Utterances, fit_route_head
from tiny_dancer.route_wording import Buckets, word_buckets
from tiny_dancer.semantic_routes import RouteVerdict

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend
    from tiny_dancer.pg.route_store import StoredRoutes, Vectors

MOST_EXAMPLES = 100_000
NAMES_SHOWN = 5

EvaluationRow = tuple[str, str | None, str | None, str, float]

UTTERANCES = """
SELECT u.id, u.utterance FROM tiny_dancer.route_utterances u
WHERE u.model_id = $1 AND u.utterance IS NOT NULL
"""
DESCRIPTIONS = "SELECT r.id, r.description FROM tiny_dancer.routes r WHERE r.id = ANY ($1)"


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """Texts and the name of the route that each means, None for none."""

    texts: list[str]
    names: list[str | None]


def fit_routes(
    backend: Backend, query: str | None, acceptance: float | None, seed: int | None
) -> list[tuple[str, float]]:
    """Fit the semantic routes to examples and return what was measured on examples held back."""
    require_writable(backend, "fit the routes")
    if acceptance is None or not 0.5 <= acceptance <= 1.0:
        raise InvalidArgumentError(
            f"acceptance is {shown(acceptance)}",
            hint="Give the share of requests in scope that should be accepted, from 0.5 to 1.",
        )
    if seed is None or seed < 0:
        raise InvalidArgumentError(f"seed is {shown(seed)}", hint="Give a number from 0 on.")
    labelled = _labelled_texts(backend, query)
    with own_path(backend):
        return _fit_to(backend, labelled, acceptance, seed)


def _fit_to(
    backend: Backend, labelled: LabelledTexts, acceptance: float, seed: int
) -> list[tuple[str, float]]:
    configuration = read_configuration(backend)
    model = configuration.required_model
    stored = _stored_routes(backend, configuration)
    wanted = _positions(labelled.names, stored.columns.names)
    fitted = np.union1d(
        np.flatnonzero(stored.columns.has_utterances), wanted[wanted != OUT_OF_SCOPE]
    )
    texts = _utterance_texts(backend, configuration)
    vectors = _vectors_of(backend, configuration, stored, texts, labelled.texts)
    place = np.full(len(stored.ids), OUT_OF_SCOPE, np.intp)
    place[fitted] = np.arange(len(fitted))
    fit = fit_route_head(
        _utterances(backend, stored, fitted, texts),
        Examples(
            vectors,
            np.where(wanted == OUT_OF_SCOPE, OUT_OF_SCOPE, place[wanted]),
            _words_of(backend, labelled.texts),
        ),
        _descriptions(backend, configuration, stored, fitted),
        acceptance=acceptance,
        seed=seed,
        progress=backend.progress(NOTICE_EVERY_SECONDS),
    )
    metrics = totals(RouteJudgements(fit.routes, fit.guesses, fit.confidences, fit.margins))
    route_heads.put(
        backend,
        model,
        [stored.ids[position] for position in fitted.tolist()],
        route_heads.fingerprints(stored, fitted.tolist()),
        fit.head,
        metrics,
        acceptance=acceptance,
        seed=seed,
    )
    # What fitting took is not needed again, and a connection may live for days.
    return [(name, float(value)) for name, value in metrics.items()]


def evaluate_routes(backend: Backend, query: str | None) -> list[EvaluationRow]:
    """Measure on examples how good the present routes are, conditions aside."""
    labelled = _labelled_texts(backend, query)
    with own_path(backend):
        return _evaluate_on(backend, labelled)


def _evaluate_on(backend: Backend, labelled: LabelledTexts) -> list[EvaluationRow]:
    snapshot = backend.routes.current()
    if snapshot.table is None:
        raise _too_many()
    routes = snapshot.table.routes
    if not len(routes):
        raise _no_routes()
    names = routes.columns.names
    wanted = _positions(labelled.names, names)
    vectors = embed_distinct(backend, snapshot.configuration, labelled.texts)
    progress = backend.progress(NOTICE_EVERY_SECONDS)
    verdicts: list[RouteVerdict] = []
    for text in labelled.texts:
        verdicts.append(routes.judge(vectors[text], text))
        progress(f"matched {len(verdicts)} of {len(labelled.texts)} texts")
    judged = RouteJudgements(
        wanted,
        np.array([verdict.position for verdict in verdicts], np.intp),
        np.array([verdict.confidence for verdict in verdicts]),
        np.array([verdict.margin for verdict in verdicts]),
    )
    return _evaluation_rows(judged, names)


def _evaluation_rows(judged: RouteJudgements, names: Sequence[str]) -> list[EvaluationRow]:
    rows: list[EvaluationRow] = [
        ("total", None, None, metric, float(value)) for metric, value in totals(judged).items()
    ]
    for number, found in enumerate(reliability_of(judged).tolist(), start=1):
        for metric, value in zip(("confidence", "right", "examples"), found, strict=True):
            rows.append(("reliability", None, None, f"bin {number} {metric}", value))
    for name, figures in zip(names, by_route(judged, len(names)), strict=True):
        rows += [("route", name, None, metric, float(v)) for metric, v in figures.items()]
    for wanted, guess, count in worst_confusions(judged):
        right = None if wanted == NONE else names[wanted]
        rows.append(("confusion", right, names[guess], "count", float(count)))
    return rows


def _labelled_texts(backend: Backend, query: str | None) -> LabelledTexts:
    rows = backend.rows(LABELLED_TEXTS, ("pg_catalog.text",), query)
    if not len(rows):
        raise InvalidArgumentError(
            "the query returns no rows",
            hint="It must return rows (text, route_name), NULL for a text that means no route.",
        )
    if len(rows) > MOST_EXAMPLES:
        raise InvalidArgumentError(
            f"the query returns {len(rows)} rows",
            hint=f"Give a sample of at most {MOST_EXAMPLES} of them.",
        )
    return LabelledTexts([row["content"] for row in rows], [row["label"] for row in rows])


def _stored_routes(backend: Backend, configuration: Configuration) -> StoredRoutes:
    model = configuration.required_model
    count = route_store.count_routes(backend, model)
    if not count.routes:
        raise _no_routes()
    if not route_index.fits(configuration, count, with_graph=False):
        raise _too_many()
    return route_store.stored_routes(backend, model)


def _no_routes() -> NotReadyError:
    return NotReadyError(
        "there are no active routes",
        hint="Make some with ruvector_create_route.",
    )


def _too_many() -> NotReadyError:
    return NotReadyError(
        "the routes have more vectors than a backend keeps",
        hint="Raise the setting snapshot_megabytes, or give the routes fewer utterances.",
    )


def _positions(names: Sequence[str | None], present: Sequence[str]) -> Any:
    """Return the position of the route of each name, OUT_OF_SCOPE for NULL."""
    position = {name: place for place, name in enumerate(present)}
    unknown = sorted({n for n in names if n is not None and n not in position})
    if unknown:
        more = f" and {len(unknown) - NAMES_SHOWN} more" if len(unknown) > NAMES_SHOWN else ""
        listed = ", ".join(shown(name) for name in unknown[:NAMES_SHOWN])
        raise UnknownObjectError(
            f"unknown route {listed}{more}",
            detail="The query names routes that do not exist or are not active.",
            hint="Make them with ruvector_create_route, or return NULL for texts that mean no "
            "route; ruvector_list_routes() shows the routes.",
        )
    return np.array([OUT_OF_SCOPE if n is None else position[n] for n in names], np.intp)


def _utterance_texts(backend: Backend, configuration: Configuration) -> dict[int, str]:
    """Return the texts of utterances by the ids of their vectors."""
    listed = backend.rows(UTTERANCES, ("bigint",), configuration.required_model.id)
    return {row["id"]: row["utterance"] for row in listed}


def _vectors_of(
    backend: Backend,
    configuration: Configuration,
    stored: StoredRoutes,
    utterances: Mapping[int, str],
    texts: Sequence[str],
) -> Vectors:
    """Return the vector of each text; the utterances among them are not embedded again."""
    ids = stored.vector_ids.tolist()
    known = {
        utterances[id_]: vector
        for id_, vector in zip(ids, stored.vectors, strict=True)
        if id_ in utterances
    }
    others = [text for text in texts if text not in known]
    known |= embed_distinct(backend, configuration, others) if others else {}
    return np.stack([known[text] for text in texts])


def _words_of(backend: Backend, texts: Sequence[str]) -> tuple[Buckets, ...]:
    """Return what the wording of texts is known by."""
    progress = backend.progress(NOTICE_EVERY_SECONDS)
    words = []
    for text in texts:
        words.append(word_buckets(text))
        progress(f"read the wording of {len(words)} of {len(texts)} texts")
    return tuple(words)


def _utterances(
    backend: Backend, stored: StoredRoutes, fitted: Any, texts: Mapping[int, str]
) -> Utterances:
    columns = stored.columns
    is_fitted = np.zeros(len(stored.ids), bool)
    is_fitted[fitted] = True
    kept = np.repeat(is_fitted, columns.vector_counts)
    counts = columns.vector_counts[fitted]
    ids = np.asarray(stored.vector_ids)[kept].tolist()
    return Utterances(
        stored.vectors[kept],
        counts,
        np.repeat(columns.has_utterances[fitted], counts),
        _words_of(backend, [texts.get(id_, "") for id_ in ids]),
    )


def _descriptions(
    backend: Backend, configuration: Configuration, stored: StoredRoutes, fitted: Any
) -> Examples:
    """Return the vectors of the descriptions of routes, none where the model embeds no text."""
    model = configuration.required_model
    if model.provider == "external":
        return Examples(np.zeros((0, model.dimension), np.float32), np.zeros(0, np.intp), ())
    ids = [stored.ids[position] for position in fitted.tolist()]
    listed = backend.rows(DESCRIPTIONS, ("bigint[]",), ids)
    texts = {row["id"]: row["description"] for row in listed}
    vectors = embed_distinct(backend, configuration, list(texts.values()))
    places = [place for place, route in enumerate(ids) if route in texts]
    described = [texts[ids[place]] for place in places]
    return Examples(
        np.stack([vectors[text] for text in described]),
        np.array(places, np.intp),
        _words_of(backend, described),
    )
