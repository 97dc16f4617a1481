"""Entry points of classification: using and training classifiers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.agent import check_fraction, check_name
from tiny_dancer.classifier import RouteClassifier
from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.pg.examples import READING_ONLY, read_examples
from tiny_dancer.pg.own_path import own_path
from tiny_dancer.pg.read_only import require_writable
from tiny_dancer.request import check_text, unit_vector
from tiny_dancer.starting_corpus.corpus import StartingRequest, load

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend
    from tiny_dancer.pg.snapshot import Configuration

Vector = NDArray[np.float32]

Example = tuple[str, str]

NOTICE_EVERY_SECONDS = 2.0
STARTING_CLASSIFIERS = ("requests", "capabilities")

DEACTIVATE = "UPDATE tiny_dancer.classifiers SET active = false WHERE name = $1 AND active"
PUT = """
INSERT INTO tiny_dancer.classifiers
    (name, model_id, multi_label, classes, weights, metrics, from_starting_corpus, active)
VALUES ($1, $2, $3, $4, $5, $6, $7, true)
"""
PUT_TYPES = ("text", "bigint", "boolean", "text[]", "bytea", "jsonb", "boolean")
# Those that setup() leaves alone: of the active model, or trained by somebody.
PRESENT = """
SELECT name FROM tiny_dancer.classifiers
WHERE active AND (model_id = $1 OR NOT from_starting_corpus)
"""
LABELLED_TEXTS = f"""
SELECT e.content, e.label
FROM {READING_ONLY},
     LATERAL tiny_dancer.labelled_texts(CASE WHEN read_only.value IS NOT NULL THEN $1 END) AS e
"""


def classify_request(
    backend: Backend, request: str | None, embedding: list[float] | None, classifier: str | None
) -> str:
    """Return all classes of a request with their probabilities, as JSON."""
    found, vector = _prepare(backend, request, embedding, classifier)
    ranked = found.classify(vector)
    return json.dumps(
        {
            "classifications": ranked,
            "top_category": ranked[0][0],
            "confidence": ranked[0][1],
        }
    )


def classify_capabilities(
    backend: Backend,
    request: str | None,
    embedding: list[float] | None,
    threshold: float | None,
    classifier: str | None,
) -> list[tuple[str, float]]:
    """Return the capabilities that a request needs with at least this probability."""
    least = check_fraction(threshold, what="threshold")
    if least is None:
        raise InvalidArgumentError("threshold must not be NULL", hint="Give a number from 0 to 1.")
    found, vector = _prepare(backend, request, embedding, classifier)
    return found.classify_capabilities(vector, threshold=least)


def _prepare(
    backend: Backend, request: str | None, embedding: list[float] | None, classifier: str | None
) -> tuple[RouteClassifier, Vector]:
    configuration = backend.snapshots.configuration()
    name = check_name(classifier, what="classifier")
    found = backend.classifiers.active(name, configuration)
    most = configuration.settings.max_request_characters
    text = check_text(request, what="request", most=most)
    if embedding is None:
        return found, backend.provider(configuration).embed(text)
    dimension = configuration.required_model.dimension
    return found, unit_vector(embedding, dimension=dimension, what="embedding")


def labelled_texts(backend: Backend, query: str | None) -> list[tuple[Any, ...]]:
    """Return the rows (text, label) of a query."""
    return read_examples(backend, query, ("content text", "label text"))


def train_classifier(
    backend: Backend, query: str | None, name: str | None, multi_label: bool | None
) -> list[tuple[str, float]]:
    """Train a classifier from a query and activate it; return what was measured."""
    require_writable(backend, "train a classifier")
    checked = check_name(name, what="classifier name")
    rows = backend.rows(LABELLED_TEXTS, ("pg_catalog.text",), query)
    with own_path(backend):
        return _train_on(backend, checked, rows, multi_label=bool(multi_label))


def _train_on(
    backend: Backend, name: str, rows: Any, *, multi_label: bool
) -> list[tuple[str, float]]:
    if not len(rows):
        raise InvalidArgumentError(
            "the query returns no rows", hint="It must return rows (text, label)."
        )
    examples = [(row["content"], check_name(row["label"], what="label")) for row in rows]
    configuration = backend.snapshots.configuration()
    vectors = embed_distinct(backend, configuration, [text for text, _ in examples])
    metrics = train(backend, name, examples, vectors, multi_label=multi_label)
    return list(metrics.items())


def train(
    backend: Backend,
    name: str,
    examples: Sequence[Example],
    vectors: Mapping[str, Vector],
    *,
    multi_label: bool,
    from_starting_corpus: bool = False,
) -> dict[str, float]:
    """Train a classifier, store it as the active one of its name, and return its metrics.

    Args:
        backend: of this process.
        name: of the classifier.
        examples: (text, label); of a multi-label classifier equal texts belong together.
        vectors: of the texts, by the active model.
        multi_label: whether several labels can hold for one text.
        from_starting_corpus: whether setup() may replace it when the model changes.
    """
    progress = backend.progress(NOTICE_EVERY_SECONDS)

    def report(epoch: int, of: int, loss: float) -> None:
        progress(f"classifier {name}: epoch {epoch} of {of}, loss {loss:.4f}")

    classifier = RouteClassifier()
    if multi_label:
        texts, classes, indicator = _indicator(examples)
        rows = np.stack([vectors[text] for text in texts])
        classifier.fit_multilabel(rows, indicator, classes, progress=report)
    else:
        rows = np.stack([vectors[text] for text, _ in examples])
        classifier.fit(rows, [label for _, label in examples], progress=report)
    # What training took is not needed again, and a connection may live for days.
    metrics = {key: float(value) for key, value in classifier.metrics_.items()}
    model = backend.snapshots.configuration().required_model
    backend.rows(DEACTIVATE, ("text",), name)
    backend.rows(
        PUT,
        PUT_TYPES,
        name,
        model.id,
        multi_label,
        list(classifier.classes_),
        classifier.to_bytes(),
        json.dumps(metrics),
        from_starting_corpus,
    )
    return metrics


def train_starting_classifiers(backend: Backend) -> str:
    """Train the classifiers that come with the extension, unless they are there already.

    What an administrator trained under their names stays.
    """
    configuration = backend.snapshots.configuration()
    model = configuration.required_model
    if model.provider == "external":
        return f"{model.name} embeds no text: train with ruvector_train_classifier"
    present = {row["name"] for row in backend.rows(PRESENT, ("bigint",), model.id)}
    wanted = [name for name in STARTING_CLASSIFIERS if name not in present]
    if not wanted:
        return f"{' and '.join(STARTING_CLASSIFIERS)} are there already"
    require_writable(backend, "train the classifiers")
    corpus = load(held_out=False)
    vectors = embed_distinct(backend, configuration, [request.text for request in corpus])
    for name in wanted:
        backend.report_progress(f"training the classifier {name}")
        examples = list(_starting_examples(corpus, name))
        is_multi_label = name == "capabilities"
        train(
            backend,
            name,
            examples,
            vectors,
            multi_label=is_multi_label,
            from_starting_corpus=True,
        )
    return f"{' and '.join(wanted)} trained on {len(corpus)} requests"


def _starting_examples(corpus: Sequence[StartingRequest], name: str) -> Iterator[Example]:
    for request in corpus:
        labels = (request.kind,) if name == "requests" else request.capabilities
        yield from ((request.text, label) for label in labels)


def embed_distinct(
    backend: Backend, configuration: Configuration, texts: Sequence[str | None]
) -> dict[str, Vector]:
    """Return the vector of each text, every text embedded once."""
    most = configuration.settings.max_request_characters
    provider = backend.provider(configuration)
    progress = backend.progress(NOTICE_EVERY_SECONDS)
    vectors: dict[str, Vector] = {}
    for place, text in enumerate(texts, start=1):
        checked = check_text(text, what=f"text {place}", most=most)
        if checked not in vectors:
            vectors[checked] = provider.embed(checked)
        progress(f"embedded {place} of {len(texts)} texts")
    return vectors


def _indicator(
    examples: Sequence[Example],
) -> tuple[list[str], list[str], NDArray[np.float64]]:
    """Return the distinct texts, the classes, and which class holds for which text."""
    places = {text: place for place, text in enumerate(dict.fromkeys(t for t, _ in examples))}
    columns = {label: column for column, label in enumerate(sorted({la for _, la in examples}))}
    indicator = np.zeros((len(places), len(columns)))
    for text, label in examples:
        indicator[places[text], columns[label]] = 1.0
    return list(places), list(columns), indicator
