"""Many routes: the exact scan, hnswlib and pgvector find the same."""

from __future__ import annotations

import numpy as np
import pytest
from psycopg import sql
from registration import call
from routes import semantic_route
from test_large_registry import active_model, plan_of, random_vectors, text_of

from tiny_dancer.pg.nearest import direction_text
from tiny_dancer.pg.nearest_routes import index_name, nearest_query

DIMENSION = 64
ROUTES = 3000
QUERIES = 40


@pytest.fixture(scope="module")
def many(shared_db):
    """3,000 routes with vectors given by the caller, a fifth of them inactive, and the indexes."""
    shared_db.execute("SELECT tiny_dancer.use_model('mine', 'external', %s)", [DIMENSION])
    with shared_db.transaction(), shared_db.cursor() as cursor:
        with cursor.copy(
            "COPY tiny_dancer.routes (name, description, target_agent, active) FROM STDIN"
        ) as copy:
            for ordinal in range(ROUTES):
                copy.write_row((f"route-{ordinal:04}", "d", "a", ordinal % 5 != 0))
        cursor.execute("CREATE TEMPORARY TABLE given (name text, embedding vector)")
        with cursor.copy("COPY given FROM STDIN") as copy:
            for ordinal, vector in enumerate(random_vectors(ROUTES, seed=1)):
                copy.write_row((f"route-{ordinal:04}", text_of(vector)))
        cursor.execute(
            "INSERT INTO tiny_dancer.route_utterances (route_id, model_id, embedding, given)"
            " SELECT r.id, m.id, g.embedding, true"
            " FROM given g JOIN tiny_dancer.routes r USING (name), tiny_dancer.models m"
            " WHERE m.active"
        )
    built = [row[0] for row in shared_db.execute("SELECT tiny_dancer.rebuild_indexes()")]
    assert index_name(active_model(shared_db)) in built
    return shared_db


@pytest.fixture
def answers(many):
    """Return the names found for each query under some settings, and forget the settings."""

    def ask(**settings):
        for name, value in settings.items():
            call(many, "tiny_dancer.set", name=name, value=value)
        queries = random_vectors(QUERIES, seed=2).tolist()
        return [
            [row.route_name for row in semantic_route(many, None, embedding=query)]
            for query in queries
        ]

    yield ask
    many.execute("TRUNCATE tiny_dancer.settings")


def recall(found, expected):
    hits = sum(len(set(f) & set(e)) for f, e in zip(found, expected, strict=True))
    return hits / sum(map(len, expected))


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_the_query_of_a_match_uses_the_index(many, mode):
    query = nearest_query(active_model(many), "public", 16)
    many.execute(sql.SQL("PREPARE near (text) AS {}").format(sql.SQL(query)))
    try:
        with many.transaction(force_rollback=True):
            many.execute(f"SET LOCAL plan_cache_mode = {mode}")
            [vector] = random_vectors(1, seed=2)
            plan = plan_of(many, f"EXECUTE near ('{direction_text(vector)}')")
    finally:
        many.execute("DEALLOCATE near")
    assert f"Index Scan using {index_name(active_model(many))}" in plan, plan


def test_the_exact_scan_finds_the_nearest(answers):
    vectors = random_vectors(ROUTES, seed=1)
    kept = np.flatnonzero(np.arange(ROUTES) % 5)
    expected = [
        [f"route-{kept[i]:04}" for i in np.argsort(-(vectors[kept] @ query))[:3]]
        for query in random_vectors(QUERIES, seed=2)
    ]
    found = answers(route_index_limit="1000000", route_priority_margin="0")
    assert recall(found, expected) == 1.0


def test_pgvector_finds_what_the_exact_scan_finds(answers):
    exact = answers(route_index_limit="1000000")
    assert all(len(names) == 3 for names in exact)
    assert recall(answers(snapshot_megabytes="0"), exact) >= 0.95


def test_hnswlib_finds_what_the_exact_scan_finds(many, answers):
    exact = answers(route_index_limit="1000000")
    call(many, "tiny_dancer.set", name="route_index_limit", value="2000")
    findings = {row.subject: row for row in many.execute("SELECT * FROM tiny_dancer.doctor()")}
    if "not installed" in findings["route index"].finding:
        pytest.skip("hnswlib is not installed for the server's Python")
    assert findings["route index"].finding == "hnswlib"
    assert recall(answers(route_index_limit="2000"), exact) >= 0.95


def test_the_doctor_names_what_serves_routes_beyond_memory(many, answers):
    answers(snapshot_megabytes="0")
    findings = {row.subject: row for row in many.execute("SELECT * FROM tiny_dancer.doctor()")}
    assert findings["route index"].ok
    assert findings["route index"].finding == "pgvector"


def test_inactive_routes_never_come_back(answers):
    for settings in ({}, {"snapshot_megabytes": "0"}):
        for names in answers(**settings):
            assert all(int(name.removeprefix("route-")) % 5 for name in names)


def create_alike(session, names, vector, **arguments):
    """Create routes of one vector."""
    for name in names:
        call(
            session,
            "ruvector_create_route",
            name=name,
            description="d",
            target_agent="a",
            embedding=vector,
            **arguments,
        )


def names_near(session, vector):
    return [row.route_name for row in semantic_route(session, None, embedding=vector)]


def test_priority_and_threshold_hold_through_pgvector(many, answers):
    """A near-tie beyond the first shortlist is still seen."""
    vector = random_vectors(1, seed=7)[0].tolist()
    with many.transaction(force_rollback=True):
        create_alike(many, [f"same-{ordinal:02}" for ordinal in range(59)], vector, priority=0)
        create_alike(many, ["same-59"], vector, priority=9)
        answers(snapshot_megabytes="0")
        assert names_near(many, vector) == ["same-59", "same-00", "same-01"]


def test_routes_behind_many_inactive_ones_are_found_through_pgvector(many, answers):
    vector = random_vectors(1, seed=8)[0].tolist()
    with many.transaction(force_rollback=True):
        create_alike(many, [f"off-{ordinal:02}" for ordinal in range(40)], vector)
        many.execute("UPDATE tiny_dancer.routes SET active = false WHERE name LIKE 'off-%'")
        exact = names_near(many, vector)
        answers(snapshot_megabytes="0")
        assert len(exact) == 3
        assert names_near(many, vector) == exact


def test_a_direction_is_written_exactly(many):
    [vector] = random_vectors(1, seed=9)
    [(distance,)] = many.execute(
        "SELECT %s::vector <=> %s::vector", [direction_text(vector), text_of(vector)]
    )
    assert abs(distance) < 1e-6
