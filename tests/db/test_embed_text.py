"""ruvector_embed, ruvector_embed_batch and ruvector_find_agents_by_capability."""

from __future__ import annotations

import time

import pytest
from refusal import refused
from registration import call, register

TEXTS = ["a", "Write a function", "é€😀", "x" * 20_000, "a\tb\nc", "'quoted' \"text\"; --"]


def embed(session, text):
    return session.execute("SELECT ruvector_embed(%s)::real[]", [text]).fetchone()[0]


def cosine(first, second):
    return sum(a * b for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:20])
def test_vectors_have_unit_length_and_are_always_the_same(registry, connect, text):
    vector = embed(registry, text)
    assert len(vector) == 384
    assert cosine(vector, vector) == pytest.approx(1.0, abs=1e-5)
    with connect(dbname=registry.info.dbname) as other:
        assert embed(other, text) == vector


def test_a_batch_gives_the_vectors_of_its_texts_in_order(meaning_db):
    rows = call(meaning_db, "ruvector_embed_batch", contents=TEXTS)
    assert [row.ordinal for row in rows] == list(range(1, len(TEXTS) + 1))
    for row, text in zip(rows, TEXTS, strict=True):
        [(same,)] = meaning_db.execute("SELECT %s::vector = ruvector_embed(%s)", (row[1], text))
        assert same, text


def test_an_empty_batch_gives_no_rows(registry):
    query = "SELECT * FROM ruvector_embed_batch('{}'::text[])"
    assert registry.execute(query).fetchall() == []


def test_meaning_is_nearer_than_spelling(meaning_db):
    dog, hound, bog = (embed(meaning_db, f"a {word}") for word in ("dog", "hound", "bog"))
    assert cosine(dog, hound) > cosine(dog, bog)


def test_a_vector_can_be_stored_and_searched(registry):
    with registry.transaction(force_rollback=True):
        registry.execute("CREATE TABLE notes (body text, embedding vector(384))")
        registry.execute(
            "INSERT INTO notes SELECT b, ruvector_embed(b) FROM unnest('{one,two,three}'::text[]) b"
        )
        query = "SELECT body FROM notes ORDER BY embedding <=> ruvector_embed('two') LIMIT 1"
        assert registry.execute(query).fetchone()[0] == "two"


def test_a_batch_can_be_cancelled_and_tells_how_far_it_is(registry):
    notices = []
    registry.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    many = {"contents": ["some text to embed"] * 1200}
    assert len(call(registry, "ruvector_embed_batch", **many)) == 1200
    assert notices == ["embedded 500 of 1200 texts", "embedded 1000 of 1200 texts"]
    registry.execute("SET statement_timeout = '150ms'")
    began = time.monotonic()
    with refused("57014"):
        call(registry, "ruvector_embed_batch", contents=["some text to embed, once more"] * 50_000)
    assert time.monotonic() - began < 10


def found(session, capability, **arguments):
    return call(session, "ruvector_find_agents_by_capability", capability=capability, **arguments)


def test_the_nearest_agents_come_first(meaning_db):
    register(
        meaning_db,
        "coder",
        ["programming", "debugging"],
        cost_per_1k_tokens=0.01,
        cost_per_call=0.5,
        avg_latency_ms=300,
        quality_score=0.9,
    )
    register(meaning_db, "cook", ["recipes", "cooking"])
    register(meaning_db, "mute", [])
    rows = found(meaning_db, "writing software")
    assert [row.name for row in rows] == ["coder", "cook"]
    assert rows[0].similarity > rows[1].similarity
    assert (rows[0].quality_score, rows[0].avg_latency_ms) == (0.9, 300)
    assert rows[0].cost == pytest.approx(0.01 * 1.256 + 0.5)
    assert (rows[1].quality_score, rows[1].avg_latency_ms, rows[1].cost) == (None, None, None)


def test_k_limits_how_many_are_found(registry):
    for ordinal in range(8):
        register(registry, f"agent-{ordinal}")
    assert [row.name for row in found(registry, "chat", k=3)] == ["agent-0", "agent-1", "agent-2"]
    assert len(found(registry, "chat")) == 5
    assert len(found(registry, "chat", k=1000)) == 8


def test_inactive_and_removed_agents_are_not_found(registry):
    for name in ("a", "b", "c"):
        register(registry, name)
    call(registry, "ruvector_set_agent_active", name="a", is_active=False)
    call(registry, "ruvector_remove_agent", name="b")
    assert [row.name for row in found(registry, "chat")] == ["c"]


def test_an_empty_registry_finds_nobody(registry):
    assert found(registry, "chat") == []


def test_a_batch_of_long_texts_can_be_cancelled_between_them(meaning_db):
    meaning_db.execute("SELECT ruvector_embed('load the model')")
    meaning_db.execute("SET statement_timeout = '1s'")
    began = time.monotonic()
    with refused("57014"):
        meaning_db.execute(
            "SELECT count(*) FROM ruvector_embed_batch("
            " ARRAY(SELECT repeat('some words ', 20000) FROM generate_series(1, 25)))"
        )
    assert time.monotonic() - began < 8.0
