"""A router model in decisions: every target goes by it, and nothing stale or damaged decides."""

from __future__ import annotations

import math

import pytest
from outcomes import at_once, refusals, settings
from refusal import refused
from registration import call, chosen, explain, register, route
from router_training import POEM, SUM, judged, models, predicted, register_two, train


@pytest.fixture
def learned(db):
    """Two agents, of which a router model knows who suits what."""
    return teach(db)


@pytest.fixture(scope="module")
def taught(shared_db):
    """The same for tests that change nothing that lasts."""
    return teach(shared_db)


@pytest.fixture
def learned_for_now(taught):
    """The same for tests that change something in one session."""
    with taught.transaction(force_rollback=True):
        yield taught


def teach(session):
    settings(session, live_state_seconds="0", learning_strength="20", breaker_failures="0")
    register_two(session)
    train(session, judged(300))
    return session


def record(session, agent, success, times=1, **columns):
    for _ in range(times):
        call(
            session,
            "ruvector_record_usage",
            agent=agent,
            actual_cost=0.0,
            success=success,
            **columns,
        )


def test_without_a_model_the_registered_quality_is_expected(db):
    register_two(db)
    register(db, "unknown")
    rows = call(db, "ruvector_predict_quality", request=SUM)
    assert [(r.agent_name, r.observations) for r in rows] == [
        ("adder", 0),
        ("poet", 0),
        ("unknown", 0),
    ]
    assert all(r.expected_quality == pytest.approx(0.5) for r in rows)
    assert all(0.05 < r.uncertainty < 0.2 for r in rows)


def test_a_model_tells_requests_apart(taught):
    [first, second] = call(taught, "ruvector_predict_quality", request=SUM)
    assert (first.agent_name, second.agent_name) == ("adder", "poet")
    assert first.expected_quality > 0.7 > 0.4 > second.expected_quality
    assert first.observations > 200
    assert first.uncertainty < 0.05
    quality = predicted(taught, POEM)
    assert quality["poet"] > 0.7 > 0.4 > quality["adder"]


@pytest.mark.parametrize("target", ["quality", "balanced", "quality_per_dollar"])
def test_targets_go_by_what_was_learned(taught, target):
    assert chosen(taught, SUM, optimize_for=target) == "adder"
    assert chosen(taught, POEM, optimize_for=target) == "poet"


def test_cost_is_the_cheapest_agent_that_reaches_the_floor(learned_for_now):
    register(learned_for_now, "adder", cost_per_call=1.0)
    assert chosen(learned_for_now, SUM, optimize_for="cost") == "poet"
    assert chosen(learned_for_now, SUM, optimize_for="cost", quality_floor=0.6) == "adder"
    assert chosen(learned_for_now, POEM, optimize_for="cost", quality_floor=0.6) == "poet"
    with refused("TD001", detail="quality_floor removed 2"):
        route(learned_for_now, POEM, quality_floor=0.97)


def test_min_quality_stays_the_agents_own(taught):
    assert chosen(taught, SUM, optimize_for="quality", min_quality=0.45) == "adder"
    with refused("TD001", detail="min_quality removed 2"):
        route(taught, SUM, min_quality=0.6)


def test_the_dial_goes_from_quality_to_cost(learned_for_now):
    register(learned_for_now, "adder", cost_per_call=1.0)
    assert chosen(learned_for_now, SUM, cost_weight=0.0) == "adder"
    assert chosen(learned_for_now, SUM, cost_weight=1.0) == "poet"


def test_confidence_is_the_learned_quality_and_says_what_it_rests_on(taught):
    row = route(taught, SUM, optimize_for="quality")
    quality = predicted(taught, SUM)["adder"]
    assert row.confidence == row.expected_quality == quality
    assert row.confidence_basis.startswith("learned from ")
    assert f"expected quality {quality:.3f}" in row.reasoning


def test_explanation_batch_and_plan_say_the_same(taught):
    expected = predicted(taught, SUM)
    explained = explain(taught, SUM, optimize_for="quality")
    assert {name: row.expected_quality for name, row in explained.items()} == expected
    rows = call(taught, "ruvector_batch_route", requests=[SUM, POEM], optimize_for="quality")
    assert [row.agent_name for row in rows] == ["adder", "poet"]
    assert rows[0].confidence == pytest.approx(expected["adder"], abs=1e-5)
    plan = call(taught, "ruvector_route_multi", request=SUM, num_agents=2, strategy="ensemble")
    assert {row.agent_name: row.confidence for row in plan} == expected
    parts = f"{POEM}. Then: {SUM}"
    steps = call(taught, "ruvector_route_multi", request=parts, num_agents=2, strategy="pipeline")
    assert [row.agent_name for row in steps] == ["poet", "adder"]


def test_an_agent_without_a_head_keeps_its_prior(learned_for_now):
    register(learned_for_now, "fresh", quality_score=0.65)
    assert predicted(learned_for_now, SUM)["fresh"] == pytest.approx(0.65)
    assert (
        route(learned_for_now, SUM, excluded_agents=["adder", "poet"]).confidence_basis == "prior"
    )
    record(learned_for_now, "fresh", True)
    row = route(learned_for_now, SUM, excluded_agents=["adder", "poet"])
    assert row.confidence_basis == "prior and 1 outcome"


def test_a_name_registered_again_is_a_new_agent(learned_for_now):
    call(learned_for_now, "ruvector_remove_agent", name="adder")
    assert set(predicted(learned_for_now, SUM)) == {"poet"}
    register(learned_for_now, "adder", quality_score=0.5)
    quality = {
        r.agent_name: r for r in call(learned_for_now, "ruvector_predict_quality", request=SUM)
    }
    assert quality["adder"].expected_quality == pytest.approx(0.5)
    assert quality["adder"].observations == 0


def test_outcomes_since_the_training_are_used_without_another(learned_for_now):
    before = predicted(learned_for_now, SUM)["adder"]
    record(learned_for_now, "adder", False)
    once = predicted(learned_for_now, SUM)["adder"]
    assert before - 0.05 < once < before
    record(learned_for_now, "adder", False, times=80)
    assert predicted(learned_for_now, SUM)["adder"] < 0.35
    assert predicted(learned_for_now, POEM)["poet"] > 0.7
    rows = call(learned_for_now, "ruvector_predict_quality", request=SUM)
    assert route(
        learned_for_now, SUM, optimize_for="quality", excluded_agents=["poet"]
    ).confidence_basis == (
        f"learned from {next(r.observations for r in rows if r.agent_name == 'adder')} outcomes"
    )


@pytest.mark.parametrize("by", ["decision", "request"])
def test_outcomes_as_expected_change_nothing(learned_for_now, by):
    """An agent that is sent what it is bad at fails, and is no worse than was known."""
    before = predicted(learned_for_now, SUM)["poet"], predicted(learned_for_now, POEM)["poet"]
    for n in range(60):
        made = {"request": f"{SUM} and {n}"}
        expected = predicted(learned_for_now, made["request"])["poet"]
        if by == "decision":
            row = route(learned_for_now, made["request"], excluded_agents=["adder"], record=True)
            made = {"decision_id": row.decision_id}
        record(learned_for_now, "poet", n % 4 == 0, quality=expected, **made)
    after = predicted(learned_for_now, SUM)["poet"], predicted(learned_for_now, POEM)["poet"]
    assert after == pytest.approx(before, abs=0.01)
    noted = "foreseen_outcomes" if by == "request" else "decisions"
    [(count,)] = learned_for_now.execute(f"SELECT count(*) FROM tiny_dancer.{noted}").fetchall()
    assert count == 60


def test_a_recorded_decision_holds_what_was_learned(learned_for_now):
    register(learned_for_now, "fresh")
    row = route(learned_for_now, SUM, optimize_for="quality", record=True)
    [stored] = learned_for_now.execute(
        "SELECT router_model_id, learned_quality, expected_quality, features FROM"
        " tiny_dancer.decisions d JOIN tiny_dancer.request_vectors v ON v.decision_id = d.id"
    ).fetchall()
    assert stored.router_model_id == models(learned_for_now)[0][0]
    assert stored.learned_quality[0] == pytest.approx(row.expected_quality, abs=1e-6)
    assert math.isnan(stored.learned_quality[1])
    assert stored.features[0] == pytest.approx(math.log1p(len(SUM)))


def test_another_model_answers_as_soon_as_it_is_active(learned, connect):
    other = connect()
    assert chosen(other, SUM, optimize_for="quality") == "adder"
    [(first, _)] = models(learned)
    turned = judged(300).replace("= (kind = 0)", "<> (kind = 0)")
    second = train(learned, turned, activate=True).id
    assert chosen(other, SUM, optimize_for="quality") == "poet"
    assert call(learned, "ruvector_activate_router", id=first) == [(True,)]
    assert chosen(other, SUM, optimize_for="quality") == "adder"
    assert call(learned, "ruvector_activate_router", id=first) == [(False,)]
    assert predicted(other, SUM, router_model=second)["poet"] > 0.7
    assert call(learned, "ruvector_activate_router", id=None) == [(True,)]
    assert predicted(other, SUM)["adder"] == pytest.approx(0.5, abs=1e-6)
    assert [active for _, active in models(learned)] == [False, False]


def test_an_activation_that_is_rolled_back_decides_nothing(taught):
    turned = judged(300).replace("= (kind = 0)", "<> (kind = 0)")
    with taught.transaction(force_rollback=True):
        train(taught, turned, activate=True)
        assert chosen(taught, SUM, optimize_for="quality") == "poet"
    assert chosen(taught, SUM, optimize_for="quality") == "adder"


def test_activations_at_the_same_time_leave_one_active(learned, connect):
    ids = [train(learned, activate=False).id for _ in range(3)]
    sessions = [connect() for _ in ids]
    order = dict(zip(map(id, sessions), ids, strict=True))

    def activate(session):
        return call(session, "ruvector_activate_router", id=order[id(session)])

    assert refusals(at_once(sessions, activate)) == []
    assert sum(active for _, active in models(learned)) == 1


@pytest.mark.parametrize("what", ["99", "-1", "9223372036854775807"])
def test_an_unknown_model_is_refused(taught, what):
    with refused("42704", f"unknown router model {what}"):
        taught.execute(f"SELECT ruvector_activate_router({what})")
    with refused("42704", f"unknown router model {what}"):
        taught.execute(f"SELECT * FROM ruvector_predict_quality('x', router_model := {what})")


DAMAGES = {
    "a flipped bit": "weights = set_byte(weights, 3000, get_byte(weights, 3000) # 1)",
    "cut short": "weights = substr(weights, 1, 500)",
    "no weights": "weights = ''",
    "the agents turned round": "agent_ids = ARRAY[agent_ids[2], agent_ids[1]]",
    "one agent too many": "agent_ids = agent_ids || 7::bigint",
    "NULL among the means": "agent_means = ARRAY[NULL, 0.5]::float8[]",
    "NaN among the counts": "agent_requests = ARRAY['NaN', 1]::float8[]",
    "another checksum": "checksum = repeat('0', 64)",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_model_is_named_and_the_one_before_it_answers(learned, damage):
    [(first, _)] = models(learned)
    second = train(learned, activate=True).id
    learned.execute(f"UPDATE tiny_dancer.router_models SET {damage} WHERE id = {second}")
    warnings = []
    learned.add_notice_handler(lambda notice: warnings.append(notice.message_primary))
    for _ in range(3):
        assert chosen(learned, SUM, optimize_for="quality") == "adder"
    [warning] = warnings
    assert f"router model {second} is damaged" in warning
    assert f"router model {first} answers in its place" in warning
    with refused("XX001", f"router model {second} is damaged"):
        call(learned, "ruvector_activate_router", id=second)
    with refused("XX001", f"router model {second} is damaged"):
        predicted(learned, SUM, router_model=second)
    [finding] = learned.execute(
        "SELECT ok, finding FROM tiny_dancer.doctor() WHERE subject = 'router model'"
    ).fetchall()
    assert not finding.ok
    # With no other the registered quality is left.
    learned.execute(f"DELETE FROM tiny_dancer.router_models WHERE id = {first}")
    assert predicted(learned, SUM)["adder"] == pytest.approx(0.5, abs=1e-6)
    assert "falls back on what was registered" in warnings[-1]
    # Training goes on, and heals.
    assert train(learned).activated
    assert chosen(learned, SUM, optimize_for="quality") == "adder"


def test_a_model_of_other_vectors_is_not_used(learned):
    [(model, _)] = models(learned)
    learned.execute("SELECT tiny_dancer.use_model('hashing-64', 'hashing', 64)")
    assert predicted(learned, SUM)["adder"] == pytest.approx(0.5, abs=1e-6)
    with refused("55000", f"router model {model} was trained on vectors of .*'hashing-384'"):
        call(learned, "ruvector_activate_router", id=model)
    [finding] = learned.execute(
        "SELECT ok, finding FROM tiny_dancer.doctor() WHERE subject = 'router model'"
    ).fetchall()
    assert not finding.ok
    row = train(learned)
    assert row.activated
    assert "not the active one" in row.why
    learned.execute("SELECT tiny_dancer.use_model('hashing-384')")
    assert predicted(learned, SUM, router_model=model)["adder"] > 0.7


def test_a_given_embedding_is_used(taught):
    [(vector,)] = taught.execute("SELECT ruvector_embed(%s)::real[]", (SUM,)).fetchall()
    assert predicted(taught, SUM, embedding=vector) == pytest.approx(predicted(taught, SUM))


@pytest.mark.parametrize(
    ("arguments", "sqlstate"),
    [
        ({"request": None}, "22023"),
        ({"request": " "}, "22023"),
        ({"request": "x", "embedding": [1.0, 2.0]}, "22023"),
        ({"request": "x", "embedding": [math.nan] * 384}, "22023"),
    ],
)
def test_requests_that_make_no_sense_are_refused(taught, arguments, sqlstate):
    with refused(sqlstate):
        call(taught, "ruvector_predict_quality", **arguments)


def test_without_agents_there_are_no_rows(db):
    assert call(db, "ruvector_predict_quality", request="x") == []


def test_whoever_may_route_may_ask_and_not_train(new_role, learned, connect):
    role = new_role("asker")
    learned.execute("SELECT tiny_dancer.grant_usage(%s)", [role])
    session = connect(user=role)
    assert chosen(session, SUM, optimize_for="quality") == "adder"
    assert predicted(session, SUM)["adder"] > 0.7
    record(session, "adder", True, request=SUM)
    with refused("42501"):
        train(session)
    with refused("42501"):
        call(session, "ruvector_activate_router", id=1)


def test_row_level_security_on_models_hides_them(new_role, learned, connect):
    role = new_role("secluded")
    learned.execute("SELECT tiny_dancer.grant_usage(%s)", [role])
    session = connect(user=role)
    assert predicted(session, SUM)["adder"] > 0.7
    learned.execute("ALTER TABLE tiny_dancer.router_models ENABLE ROW LEVEL SECURITY")
    assert predicted(session, SUM)["adder"] == pytest.approx(0.5, abs=1e-6)
    learned.execute("ALTER TABLE tiny_dancer.router_models DISABLE ROW LEVEL SECURITY")
    assert predicted(session, SUM)["adder"] > 0.7
    learned.execute(f'REVOKE SELECT ON tiny_dancer.router_models FROM "{role}"')
    with refused("42501"):
        predicted(session, SUM)


def test_a_read_only_transaction_routes_by_what_was_learned(taught):
    with taught.transaction(force_rollback=True):
        taught.execute("SET TRANSACTION READ ONLY")
        assert chosen(taught, SUM, optimize_for="quality") == "adder"
        assert predicted(taught, SUM)["adder"] > 0.7
        with refused("25006"):
            call(taught, "ruvector_activate_router", id=None)


def test_a_model_that_was_never_shown_the_wording_needs_none(learned_for_now):
    record(learned_for_now, "adder", True, times=1)
    for n in range(30):
        vector = [math.cos(n), math.sin(n), *[0.0] * 382]
        record(learned_for_now, "adder", n % 2 == 0, embedding=vector)
    [row] = call(learned_for_now, "ruvector_train_router", predictor="ridge", activate=True)
    assert row.activated
    assert 0.0 < predicted(learned_for_now, SUM)["adder"] < 1.0
    assert route(learned_for_now, SUM, record=True).decision_id
