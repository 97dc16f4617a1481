"""What a router model is trained from: recorded outcomes, or the rows of a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tiny_dancer import lexical_features
from tiny_dancer.errors import InvalidArgumentError, UnknownObjectError, shown
from tiny_dancer.learning.outcome_table import OutcomeTable, joined_features
from tiny_dancer.pg import store
from tiny_dancer.pg.examples import READING_ONLY, read_examples
from tiny_dancer.pg.vector_rights import require_vectors
from tiny_dancer.request import check_text, unit_vector
from tiny_dancer.weights import Float32Array

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend, Row
    from tiny_dancer.pg.snapshot import Configuration

NOTICE_EVERY_SECONDS = 2.0
ROWS_AT_ONCE = 1000
MOST_OUTCOMES = 200_000
"""Training looks at so many recorded outcomes, the latest."""

LOST_BY_ROUNDING = 0.01
"""A unit vector in half precision is this near to length 1, squared."""

JUDGED = f"""
SELECT e.request, e.agent_name, e.quality, e.embedding
FROM {READING_ONLY},
     LATERAL tiny_dancer.judged_requests(CASE WHEN read_only.value IS NOT NULL THEN $1 END) AS e
"""
LEARNABLE = "SELECT * FROM tiny_dancer.learnable_outcomes($1, $2)"
# Texts of requests have a grant of their own.
MAY_READ = """
SELECT pg_catalog.has_column_privilege('tiny_dancer.usage', 'request', 'SELECT')
       AND pg_catalog.has_column_privilege('tiny_dancer.decisions', 'request', 'SELECT') AS texts
"""
TEXTS = """
SELECT u.id, coalesce(
    u.request,
    (SELECT min(d.request) FROM tiny_dancer.decisions d WHERE d.id = u.decision_id)) AS request
FROM tiny_dancer.usage u WHERE u.id = ANY ($1)
"""
LIVING = "SELECT id, name FROM tiny_dancer.agents WHERE removed_at IS NULL"
VECTOR_OF_ROW = (
    "tiny_dancer.vector_bytes(tiny_dancer.to_vector(example.embedding::pg_catalog.float4[]))"
)


class Found(NamedTuple):
    """Outcomes to learn from.

    Attributes:
        table: the outcomes.
        last_usage_id: of the newest recorded one, 0 where they came from a query.
        left_out: how many recorded outcomes have no request to learn from.
    """

    table: OutcomeTable
    last_usage_id: int
    left_out: int


def judged_requests(backend: Backend, query: str | None) -> list[tuple[Any, ...]]:
    """Return the rows (request, agent_name, quality, embedding) of a query."""
    columns = ("request text", "agent_name text", "quality float8")
    rows = read_examples(backend, query, columns, optional={"embedding real[]": VECTOR_OF_ROW})
    return [row if len(row) > len(columns) else (*row, None) for row in rows]


def read(backend: Backend, query: str) -> Any:
    """Return the rows (request, agent_name, quality, embedding) of a query, on the present path."""
    return backend.rows(JUDGED, ("pg_catalog.text",), query)


def from_rows(backend: Backend, configuration: Configuration, rows: Any) -> Found:
    """Embed the requests of rows that were read from a query.

    Raises:
        InvalidArgumentError: there are none, or one makes no sense; the message says which.
        UnknownObjectError: no living agent has the name of a row.
    """
    if not len(rows):
        raise InvalidArgumentError(
            "the query returns no rows", hint="It must return rows (request, agent_name, quality)."
        )
    ids = {row["name"]: row["id"] for row in backend.rows(LIVING)}
    collected = _Collected(backend, configuration)
    progress = backend.progress(NOTICE_EVERY_SECONDS)
    for place, row in enumerate(rows, start=1):
        agent_id = _agent(row["agent_name"], ids, place)
        quality = _quality(row["quality"], place)
        collected.add(f"row {place}", agent_id, quality, row["request"], row["embedding"])
        progress(f"read {place} of {len(rows)} rows")
    return Found(collected.table(), 0, 0)


def _agent(name: str | None, ids: dict[str, int], place: int) -> int:
    if name is None:
        raise InvalidArgumentError(
            f"row {place} has no agent name", hint="Every row needs the name of an agent."
        )
    if name not in ids:
        raise UnknownObjectError(
            f"row {place} names the unknown agent {shown(name)}",
            hint="Register it with ruvector_register_agent(), or leave its rows out of the query.",
        )
    return ids[name]


def _quality(quality: float | None, place: int) -> float:
    if quality is None or not 0.0 <= quality <= 1.0:
        raise InvalidArgumentError(
            f"row {place} has quality {'NULL' if quality is None else quality}",
            hint="Every row needs a quality between 0 and 1.",
        )
    return quality


def from_outcomes(backend: Backend, configuration: Configuration) -> Found:
    """Read the recorded outcomes whose request is known, as the caller may see them.

    Raises:
        InvalidArgumentError: there are none.
        MissingRightError: the caller may not read the vectors of recorded requests.
    """
    model = configuration.required_model
    require_vectors(backend, "train a router")
    may_read: Any = backend.row(MAY_READ)
    plan = backend.plpy.prepare(LEARNABLE, ["bigint", "integer"])
    cursor = backend.plpy.cursor(plan, [model.id, MOST_OUTCOMES])
    collected = _Collected(backend, configuration)
    progress = backend.progress(NOTICE_EVERY_SECONDS)
    newest = seen = 0
    while rows := cursor.fetch(ROWS_AT_ONCE):
        texts = _texts(backend, rows) if may_read["texts"] else {}
        for row in rows:
            seen += 1
            newest = max(newest, row["usage_id"])
            collected.add_recorded(row, texts.get(row["usage_id"]))
            progress(f"read {seen} outcomes")
    if not collected.quality:
        raise InvalidArgumentError(
            f"none of {seen} recorded outcomes has a request to learn from"
            if seen
            else "no outcome is recorded",
            hint="Record decisions with ruvector_route(…, record := true) and their outcomes with "
            "their decision_id, pass the request or its embedding to ruvector_record_usage(), or "
            "give a query with rows (request, agent_name, quality).",
        )
    return Found(collected.table(), newest, seen - len(collected.quality))


def _texts(backend: Backend, rows: Sequence[Row]) -> dict[int, str | None]:
    """Return the stored texts of outcomes of whose requests something else is missing."""
    wanted = [row["usage_id"] for row in rows if row["embedding"] is None or not _has_words(row)]
    found = backend.rows(TEXTS, ("bigint[]",), wanted) if wanted else ()
    return {row["id"]: row["request"] for row in found}


def _has_words(row: Row) -> bool:
    # Another version of the library may have recorded other features.
    return row["features"] is not None and len(row["features"]) == lexical_features.COUNT


class _Collected:
    """Requests, each embedded once, and what agents achieved on them."""

    def __init__(self, backend: Backend, configuration: Configuration) -> None:
        self.quality: list[float] = []
        self._backend = backend
        self._model = configuration.required_model
        self._most = configuration.settings.max_request_characters
        self._provider = backend.provider(configuration)
        self._vectors: list[Float32Array] = []
        self._features: list[Float32Array | None] = []
        self._row_of: dict[str | bytes, int] = {}
        self._request: list[int] = []
        self._agent_id: list[int] = []

    def add(
        self, where: str, agent_id: int, quality: float, text: str | None, sent: bytes | None
    ) -> None:
        """Take in a row of a query; ``sent`` is the embedding that the caller gave."""
        checked = check_text(text, what=f"the request of {where}", most=self._most)
        key: str | bytes = checked if sent is None else sent + checked.encode()
        row = self._row_of.get(key)
        if row is None:
            if sent is None:
                vector = self._provider.embed(checked)
            else:
                vector = unit_vector(
                    store.vector_from_bytes(sent),
                    dimension=self._model.dimension,
                    what=f"the embedding of {where}",
                )
            row = self._add_request(key, vector, lexical_features.lexical_features(checked))
        self._add_outcome(row, agent_id, quality)

    def add_recorded(self, recorded: Row, text: str | None) -> None:
        """Take in a recorded outcome, if its request is known in one way or another."""
        sent: bytes | None = recorded["embedding"]
        features = _recorded_features(recorded["features"], text)
        if sent is not None:
            key: str | bytes = sent + (b"" if features is None else features.tobytes())
        elif text is not None and self._model.provider != "external":
            key = text
        else:
            return
        row = self._row_of.get(key)
        if row is None:
            vector = self._embed_recorded(sent, text)
            if vector is None:
                return
            row = self._add_request(key, vector, features)
        self._add_outcome(row, recorded["agent_id"], recorded["quality"])

    def _embed_recorded(self, sent: bytes | None, text: str | None) -> Float32Array | None:
        """Return the recorded vector, else that of the text.

        None where the vector can not be the model's: whoever may record may store any.
        """
        if sent is None:
            return self._provider.embed(text or "")
        vector = store.half_vector_from_bytes(sent)
        if len(vector) != self._model.dimension:
            return None
        is_unit = abs(float(vector.dot(vector)) - 1.0) < LOST_BY_ROUNDING
        return vector if is_unit else None

    def _add_request(
        self, key: str | bytes, vector: Float32Array, features: Float32Array | None
    ) -> int:
        row = self._row_of[key] = len(self._vectors)
        self._vectors.append(vector)
        self._features.append(features)
        return row

    def _add_outcome(self, row: int, agent_id: int, quality: float) -> None:
        self._request.append(row)
        self._agent_id.append(agent_id)
        self.quality.append(quality)

    def table(self) -> OutcomeTable:
        """Return what was collected, equal requests as one."""
        return OutcomeTable.of(
            np.stack(self._vectors),
            joined_features(
                self._features, lexical_features.COUNT, lexical_features.EARLIER_COUNTS
            ),
            np.array(self._request, dtype=np.int64),
            np.array(self._agent_id, dtype=np.int64),
            np.array(self.quality, dtype=np.float64),
        )


def _recorded_features(recorded: list[float] | None, text: str | None) -> Float32Array | None:
    """Return the features of a recorded request, None where nothing tells them."""
    if text is None or (recorded is not None and len(recorded) == lexical_features.COUNT):
        return None if recorded is None else np.array(recorded, dtype=np.float32)
    return lexical_features.lexical_features(text)
