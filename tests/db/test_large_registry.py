"""Registries too large to keep in a backend: pgvector finds the agents, through its HNSW index."""

from __future__ import annotations

import numpy as np
import psycopg
import pytest
from psycopg import sql
from refusal import refused
from registration import call, chosen, explain, register, register_four, route

from tiny_dancer.pg.model import ActiveModel
from tiny_dancer.pg.nearest import direction_text, index_name, nearest_query

DIMENSION = 64
AGENTS = 3000
K = 10
HNSW_SETTINGS = ("hnsw.ef_search", "hnsw.iterative_scan")


def use_pgvector(session):
    session.execute("SELECT tiny_dancer.set('snapshot_megabytes', '0')")


def test_without_a_copy_the_decision_is_the_same(meaning_db):
    for name, capabilities, price in (
        ("coder", ["code", "debugging"], 0.02),
        ("counsel", ["law", "contracts"], 0.03),
        ("generalist", ["chat", "writing", "translation"], 0.001),
        ("painter", ["image generation"], 0.04),
    ):
        register(
            meaning_db, name, capabilities, cost_per_call=price, quality_score=0.8, avg_latency_ms=9
        )
    requests = ["Fix my Python code", "Review this contract", "Draw a cat", "Hello"]
    targets = ["cost", "quality", "balanced", "latency", "quality_per_dollar"]
    asked = [(request, target) for request in requests for target in targets]
    before = [route(meaning_db, r, optimize_for=t) for r, t in asked]
    use_pgvector(meaning_db)
    assert [route(meaning_db, r, optimize_for=t) for r, t in asked] == before


def test_without_a_copy_constraints_hold(registry):
    register_four(registry)
    use_pgvector(registry)
    assert chosen(registry, optimize_for="cost") == "llama-2"
    assert chosen(registry, excluded_agents=["llama-2"], optimize_for="cost") == "gpt-3.5"
    call(registry, "ruvector_set_agent_active", name="gpt-3.5", is_active=False)
    call(registry, "ruvector_remove_agent", name="claude-3")
    assert set(explain(registry, min_quality=0.9)) >= {"gpt-4"}
    assert chosen(registry, min_quality=0.9) == "gpt-4"
    with refused("TD001", detail="min_quality"):
        route(registry, min_quality=0.99)


def test_without_a_copy_a_change_is_seen_at_once(registry, connect):
    register_four(registry)
    use_pgvector(registry)
    assert chosen(registry, optimize_for="cost") == "llama-2"
    with connect(dbname=registry.info.dbname) as other:
        call(other, "ruvector_remove_agent", name="llama-2")
    assert chosen(registry, optimize_for="cost") == "gpt-3.5"


def random_vectors(count, seed):
    """Directions with some structure, as embeddings have: noise around fifty centres."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(50, DIMENSION))
    vectors = centres[generator.integers(0, 50, count)]
    vectors = vectors + 0.6 * generator.normal(size=(count, DIMENSION))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def text_of(vector):
    return "[" + ",".join(f"{element:.6f}" for element in vector) + "]"


@pytest.fixture(scope="module")
def many(shared_db):
    """3,000 agents with vectors given by the caller, a fifth of them inactive, and the index."""
    shared_db.execute("SELECT tiny_dancer.use_model('mine', 'external', %s)", [DIMENSION])
    with shared_db.transaction(), shared_db.cursor() as cursor:
        with cursor.copy(
            "COPY tiny_dancer.agents (name, agent_type, quality_score, active) FROM STDIN"
        ) as copy:
            for ordinal in range(AGENTS):
                copy.write_row((f"agent-{ordinal:04}", "api", 0.5, ordinal % 5 != 0))
        vectors = [text_of(vector) for vector in random_vectors(AGENTS, seed=1)]
        cursor.execute("CREATE TEMPORARY TABLE given (name text, embedding vector)")
        with cursor.copy("COPY given FROM STDIN") as copy:
            for ordinal, vector in enumerate(vectors):
                copy.write_row((f"agent-{ordinal:04}", vector))
        cursor.execute(
            "INSERT INTO tiny_dancer.agent_embeddings (agent_id, model_id, embedding, given)"
            " SELECT a.id, m.id, g.embedding, true"
            " FROM given g JOIN tiny_dancer.agents a USING (name), tiny_dancer.models m"
            " WHERE m.active"
        )
    [(index,)] = shared_db.execute("SELECT tiny_dancer.rebuild_indexes()")
    assert index == index_name(active_model(shared_db))
    return shared_db


def active_model(session):
    query = "SELECT id, name, provider, dimension, checksum FROM tiny_dancer.models WHERE active"
    return ActiveModel(**session.execute(query).fetchone()._asdict())


def plan_of(session, statement, *arguments):
    rows = session.execute(sql.SQL("EXPLAIN {}").format(sql.SQL(statement)), arguments)
    return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_the_query_of_a_decision_uses_the_index(many, mode):
    query = nearest_query(active_model(many), "public", K)
    many.execute(sql.SQL("PREPARE near (text) AS {}").format(sql.SQL(query)))
    try:
        with many.transaction(force_rollback=True):
            many.execute(f"SET LOCAL plan_cache_mode = {mode}")
            [vector] = random_vectors(1, seed=2)
            plan = plan_of(many, f"EXECUTE near ('{direction_text(vector)}')")
    finally:
        many.execute("DEALLOCATE near")
    assert f"Index Scan using {index_name(active_model(many))}" in plan, plan


def found(session, vector, k=K):
    """Names of the agents found by the very query of a decision, nearest first."""
    query = nearest_query(active_model(session), "public", k).replace("$1", "%s")
    return [row.name for row in session.execute(query, [direction_text(vector)])]


def by_exact_scan(session, vector, k=K):
    with session.transaction(force_rollback=True):
        session.execute("SET LOCAL enable_indexscan = off")
        return found(session, vector, k)


def considered(session, vector, **arguments):
    """The agents that a decision looks at, by similarity."""
    rows = explain(session, embedding=vector.tolist(), **arguments).values()
    return [row.agent_name for row in sorted(rows, key=lambda row: -row.similarity)]


def test_a_decision_considers_nearly_the_agents_that_an_exact_scan_finds(many):
    """Recall of the thousand and of the ten nearest, of the decision itself."""
    use_pgvector(many)
    many.execute("SET plan_cache_mode = force_generic_plan")
    hits = {K: 0, 1000: 0}
    queries = random_vectors(8, seed=3)
    for vector in queries:
        names = considered(many, vector)
        assert len(names) == 1000
        for k in hits:
            hits[k] += len(set(names[:k]) & set(by_exact_scan(many, vector, k)))
    assert {k: hits[k] / (k * len(queries)) >= 0.95 for k in hits} == {K: True, 1000: True}, hits


def test_inactive_agents_never_come_back(many):
    use_pgvector(many)
    for vector in random_vectors(3, seed=4):
        numbers = [int(name.removeprefix("agent-")) for name in considered(many, vector)]
        assert all(number % 5 for number in numbers)


def test_removed_agents_never_come_back(many):
    use_pgvector(many)
    [vector] = random_vectors(1, seed=5)
    nearest = found(many, vector)
    with many.transaction(force_rollback=True):
        for name in nearest[:5]:
            call(many, "ruvector_remove_agent", name=name)
        assert not set(nearest[:5]) & set(considered(many, vector))
        call(many, "ruvector_set_agent_active", name=nearest[5], is_active=False)
        assert nearest[5] not in considered(many, vector)


def hnsw_settings(session):
    query = "SELECT current_setting(%s, true)"
    return [session.execute(query, [name]).fetchone()[0] for name in HNSW_SETTINGS]


@pytest.mark.parametrize(
    ("prepare", "left"),
    [
        ("SELECT 1", ["40", "off"]),  # nothing has loaded pgvector before the decision
        ("LOAD 'vector'", ["40", "off"]),
        ("SET hnsw.ef_search = 77", ["77", "off"]),
        ("SET LOCAL hnsw.ef_search = 78", ["78", "off"]),
        ("SET hnsw.iterative_scan = relaxed_order", ["40", "relaxed_order"]),
    ],
)
def test_the_settings_of_the_session_are_left_as_they_were(registry, connect, prepare, left):
    register_four(registry)
    use_pgvector(registry)
    session = connect(dbname=registry.info.dbname)
    with session.transaction():
        session.execute(prepare)
        route(session)
        assert hnsw_settings(session) == left
        with pytest.raises(psycopg.Error, match="no agent fits"), session.transaction():
            route(session, max_latency_ms=0)
        assert hnsw_settings(session) == left
        find = {"capability": "chat", "k": 2}
        call(session, "tiny_dancer.set", name="exact_search_limit", value="0")
        assert len(call(session, "ruvector_find_agents_by_capability", **find)) == 2
        assert hnsw_settings(session) == left


def test_above_the_limit_a_capability_search_asks_pgvector(meaning_db):
    for name, capabilities in (("a", ["cooking"]), ("b", ["chess"]), ("c", ["law"])):
        register(meaning_db, name, capabilities, cost_per_call=0.5)
    exact = call(meaning_db, "ruvector_find_agents_by_capability", capability="playing chess", k=2)
    assert exact[0].name == "b"
    call(meaning_db, "tiny_dancer.set", name="exact_search_limit", value="0")
    scanned = call(
        meaning_db, "ruvector_find_agents_by_capability", capability="playing chess", k=2
    )
    meaning_db.execute("SELECT tiny_dancer.rebuild_indexes()")
    indexed = call(
        meaning_db, "ruvector_find_agents_by_capability", capability="playing chess", k=2
    )
    assert exact == scanned == indexed


def test_rebuilding_indexes_can_be_repeated(many):
    index = index_name(active_model(many))
    for _ in range(2):
        assert many.execute("SELECT tiny_dancer.rebuild_indexes()").fetchall() == [(index,)]
    [(valid,)] = many.execute(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass", [f"tiny_dancer.{index}"]
    )
    assert valid


def test_there_is_nothing_to_index_without_a_model(new_database, connect):
    session = connect(dbname=new_database())
    session.execute("CREATE EXTENSION tiny_dancer CASCADE")
    assert session.execute("SELECT tiny_dancer.rebuild_indexes()").fetchall() == []


def test_dimensions_beyond_those_of_an_index_are_scanned(db):
    db.execute("SELECT tiny_dancer.use_model('wide', 'external', 2001)")
    register(db, "a", capability_embedding=[1.0, *[0.0] * 2000])
    register(db, "b", capability_embedding=[0.0, *[1.0] * 2000])
    notices = []
    db.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    assert db.execute("SELECT tiny_dancer.rebuild_indexes()").fetchall() == []
    assert "2001 dimensions can not be indexed" in notices[0]
    use_pgvector(db)
    assert chosen(db, embedding=[1.0, *[0.0] * 2000], optimize_for="quality") == "a"
