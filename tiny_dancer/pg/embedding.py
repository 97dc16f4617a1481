"""Entry points of embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiny_dancer.embedding.batch_parts import batch_parts
from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.pg import store
from tiny_dancer.request import check_text

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend

MAX_BATCH = 100_000
# How often a long loop tells how far it is and lets a cancel through.
NOTICE_EVERY = 500
# Between two chances to cancel; an embedder gets so many in one request.
TEXTS_AT_ONCE = 25
CHARACTERS_AT_ONCE = 100_000


def embed(backend: Backend, content: str | None) -> str:
    """Return the unit vector of a text, as pgvector reads it."""
    configuration = backend.snapshots.configuration()
    text = check_text(content, what="text", most=configuration.settings.max_request_characters)
    return store.vector_text(backend.provider(configuration).embed(text))


def embed_batch(backend: Backend, contents: list[str | None] | None) -> list[tuple[int, str]]:
    """Return (ordinal, vector) of each text, one text per call of the model."""
    if contents is None:
        raise InvalidArgumentError("contents must not be NULL", hint="Pass an array of text.")
    if len(contents) > MAX_BATCH:
        raise InvalidArgumentError(
            f"{len(contents)} texts are too many", hint=f"Pass at most {MAX_BATCH} at once."
        )
    configuration = backend.snapshots.configuration()
    most = configuration.settings.max_request_characters
    texts = [check_text(text, what=f"text {i}", most=most) for i, text in enumerate(contents, 1)]
    return _embed_each(backend, texts)


def _embed_each(backend: Backend, texts: list[str]) -> list[tuple[int, str]]:
    provider = backend.provider(backend.snapshots.configuration())
    vectors: list[tuple[int, str]] = []
    told = 0
    for part in batch_parts(texts, most_texts=TEXTS_AT_ONCE, most_characters=CHARACTERS_AT_ONCE):
        written = map(store.vector_text, provider.embed_batch(part))
        vectors += enumerate(written, start=len(vectors) + 1)
        if len(vectors) - told >= NOTICE_EVERY:
            told = len(vectors)
            backend.report_progress(f"embedded {told} of {len(texts)} texts")
        else:
            backend.allow_cancel()
    return vectors
