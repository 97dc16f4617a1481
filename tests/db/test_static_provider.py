"""Backends that look tokens up in a table: routing, switching, damage, and no heavy library."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from embedder_process import models_folder
from refusal import refused
from registration import call, register, route

from tiny_dancer.embedding.importing.static_importer import write_static_folder
from tiny_dancer.embedding.importing.vocabulary import Vocabulary
from tiny_dancer.embedding.provider import open_provider
from tiny_dancer.embedding.wordpiece import Spelling

pytestmark = pytest.mark.skipif(
    "TINY_DANCER_PG_BINDIR" not in os.environ, reason="the server's folders are not known"
)
NAME = f"looked-up-{os.getpid()}"
TOPICS = {0: "code program python debug fix", 1: "law contract clause legal court"}
TEXT = "Fix this program"


@pytest.fixture(scope="module")
def folder():
    """A table of two topics, among the models of the server under test."""
    words = [(word, topic) for topic, text in TOPICS.items() for word in text.split()]
    tokens = ("[UNK]", *(word for word, _ in words))
    table = np.full((len(tokens), 8), 0.01, dtype=np.float32)
    for row, (_, topic) in enumerate(words, start=1):
        table[row, topic] = 1.0
        table[row, 2 + row % 6] = 0.2
    path = models_folder() / NAME
    path.mkdir()
    vocabulary = Vocabulary(tokens, Spelling(), tuple(range(len(tokens))))
    write_static_folder(path, vocabulary, table, source="a test", licence="none", notice="")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def static_db(folder, db):
    db.execute("SELECT tiny_dancer.use_model(%s)", [NAME])
    return db


def embedded(session, text):
    return session.execute("SELECT ruvector_embed(%s)::text", [text]).fetchone()[0]


def test_the_provider_follows_from_the_files(static_db):
    query = "SELECT name, provider, dimension, checksum IS NOT NULL AS c FROM tiny_dancer.models"
    [model] = static_db.execute(f"{query} WHERE active")
    assert tuple(model) == (NAME, "static", 8, True)
    findings = {row.subject: row for row in call(static_db, "tiny_dancer.doctor")}
    assert findings["embedding model"].finding == f"{NAME} (static, 8 dimensions)"
    assert [row for row in findings.values() if not row.ok] == []


def test_the_vectors_are_those_of_the_provider_outside(static_db, folder):
    provider = open_provider(folder)
    for text in (TEXT, "LAW and contract!", "unknown words", "é€😀", "code " * 30_000):
        elements = embedded(static_db, text).strip("[]").split(",")
        np.testing.assert_array_equal(
            np.array(elements, dtype=np.float32), provider.embed(text), err_msg=text[:20]
        )


def test_it_routes_text(static_db):
    register(static_db, "coder", ["code", "debug"])
    register(static_db, "lawyer", ["law", "legal"])
    query = "SELECT name FROM ruvector_find_agents_by_capability(%s)"
    for text, nearest in (("python program", "coder"), ("a court clause", "lawyer")):
        assert static_db.execute(query, [text]).fetchone().name == nearest
        assert route(static_db, text, optimize_for="quality").similarity > 0.5


def test_text_without_a_token_is_an_error(static_db):
    for text in ("", "   ", "\x01\x02", "\u200b"):
        with refused("22023"):
            embedded(static_db, text)


def test_switching_there_and_back_embeds_agents_and_routes_again(static_db):
    register(static_db, "coder", ["code"])
    call(static_db, "ruvector_create_route", name="r", description="law", target_agent="coder")
    static_db.execute("SELECT tiny_dancer.use_model('hashing-384')")
    [(outcome,)] = static_db.execute("SELECT tiny_dancer.use_model(%s, 'static')", [NAME])
    assert outcome == f"{NAME} (static, 8 dimensions), 1 agents and 1 routes embedded"


def test_it_is_for_no_other_provider(static_db):
    with refused("22023", "has provider static, not onnx"):
        static_db.execute("SELECT tiny_dancer.use_model(%s, 'onnx')", [NAME])
    with refused("22023", "has provider static, not hashing"):
        static_db.execute("SELECT tiny_dancer.use_model(%s, 'hashing')", [NAME])


def test_a_damaged_file_is_an_error_and_the_rest_works(static_db, folder, connect):
    register(static_db, "coder", ["code"])
    table = folder / "table.npy"
    aside = table.rename(folder.parent / f"{NAME}.aside")
    try:
        other = connect()
        with refused("58P01", "damaged: table.npy", hint="model import"):
            embedded(other, TEXT)
        assert route(other, embedding=[1.0, *[0.0] * 7]).agent_name == "coder"
        table.write_bytes(b"\0" * aside.stat().st_size)
        with refused("58P01", "cannot be loaded from table.npy", hint="--as static"):
            embedded(connect(), TEXT)
        findings = {row.subject: row for row in call(other, "tiny_dancer.doctor")}
        assert findings["embedding model"].ok is False
    finally:
        aside.rename(table)
    assert embedded(other, TEXT)


def test_no_library_of_transformers_is_loaded(static_db, connect):
    """Nor what imports models; and whoever only gives embeddings does not load the table either."""
    register(static_db, "coder", ["code"])
    static_db.execute(
        "CREATE FUNCTION loaded() RETURNS text[] LANGUAGE plpython3u AS"
        " $$ import sys; return sorted(sys.modules) $$"
    )

    def loaded(session):
        return set(session.execute("SELECT loaded()").fetchone()[0])

    given = connect()
    route(given, embedding=[1.0, *[0.0] * 7])
    embedding = {name for name in loaded(given) if name.startswith("tiny_dancer.embedding.")}
    assert embedding == {"tiny_dancer.embedding.native_libraries"}
    text = connect()
    route(text, TEXT)
    assert "tiny_dancer.embedding.static" in loaded(text)
    for session in (given, text):
        heavy = {"onnxruntime", "tokenizers", "asyncio", "tiny_dancer.embedding.onnx"}
        assert not heavy & loaded(session)
        assert not any("importing" in name for name in loaded(session))
