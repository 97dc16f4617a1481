"""Which embedding model is active: setup, switching, what is lost, what is missing."""

from __future__ import annotations

import pytest
from refusal import refused
from registration import agent_names, call, chosen, explain, register, register_four, route
from training import train_quickly

BEFORE_SETUP = [
    "SELECT * FROM ruvector_route('hello')",
    "SELECT * FROM ruvector_explain_route('hello')",
    "SELECT ruvector_register_agent('a', 'llm', '{chat}')",
    "SELECT * FROM ruvector_find_agents_by_capability('chat')",
    "SELECT ruvector_embed('hello')",
    "SELECT * FROM ruvector_embed_batch('{hello}')",
    "SELECT * FROM tiny_dancer.warmup()",
]


@pytest.fixture
def before_setup(new_database, connect):
    session = connect(dbname=new_database())
    session.execute("CREATE EXTENSION tiny_dancer CASCADE")
    return session


def models(session):
    query = "SELECT name, provider, dimension, active FROM tiny_dancer.models ORDER BY id"
    return [tuple(row) for row in session.execute(query)]


def vectors(session):
    """From agent to model and whether the vector was given."""
    query = (
        "SELECT a.name, m.name AS model, e.given FROM tiny_dancer.agent_embeddings e"
        " JOIN tiny_dancer.agents a ON a.id = e.agent_id"
        " JOIN tiny_dancer.models m ON m.id = e.model_id ORDER BY 1"
    )
    return {row.name: (row.model, row.given) for row in session.execute(query)}


def use_model(session, name, **arguments):
    [row] = call(session, "tiny_dancer.use_model", name=name, **arguments)
    return row[0]


@pytest.mark.parametrize("statement", BEFORE_SETUP)
def test_before_setup_every_error_names_it(before_setup, statement):
    with refused("55000", "no embedding model is active", hint=r"tiny_dancer\.setup\(\)"):
        before_setup.execute(statement)


def test_before_setup_what_needs_no_model_works(before_setup):
    assert agent_names(before_setup) == []
    assert call(before_setup, "tiny_dancer.list_settings")
    findings = {row.subject: row for row in call(before_setup, "tiny_dancer.doctor")}
    assert findings["embedding model"].ok is False
    assert "setup" in findings["embedding model"].remedy


def test_setup_makes_ready_tells_how_far_it_is_and_can_be_repeated(before_setup):
    notices = []
    before_setup.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    first = {row.step: row.outcome for row in call(before_setup, "tiny_dancer.setup")}
    assert "all-MiniLM-L6-v2 (onnx, 384 dimensions)" in first["embedding model"]
    assert "trained" in first["classifiers"]
    assert "activating the embedding model all-MiniLM-L6-v2" in notices
    assert len(notices) > 2
    assert models(before_setup) == [("all-MiniLM-L6-v2", "onnx", 384, True)]
    epochs = "SELECT * FROM tiny_dancer.epochs ORDER BY 1"
    before = before_setup.execute(epochs).fetchall()
    for _ in range(2):
        again = {row.step: row.outcome for row in call(before_setup, "tiny_dancer.setup")}
        assert again["embedding model"] == "all-MiniLM-L6-v2 is active already"
        assert "already" in again["classifiers"]
    assert before_setup.execute(epochs).fetchall() == before
    findings = call(before_setup, "tiny_dancer.doctor")
    assert [row for row in findings if not row.ok] == []


def test_setup_keeps_another_model_that_was_chosen(db):
    train_quickly(db)
    assert "hashing-384 is active already" in call(db, "tiny_dancer.setup")[0].outcome


def test_switching_embeds_the_agents_again(db):
    register(db, "coder", ["code"])
    register(db, "mute", [])
    register(db, "removed", ["law"])
    call(db, "ruvector_remove_agent", name="removed")
    answer = use_model(db, "all-MiniLM-L6-v2")
    assert answer == "all-MiniLM-L6-v2 (onnx, 384 dimensions), 1 agents embedded"
    assert vectors(db) == {"coder": ("all-MiniLM-L6-v2", False)}
    assert route(db, "Fix this program", excluded_agents=["mute"]).similarity > 0.1
    use_model(db, "hashing-384")
    assert vectors(db) == {"coder": ("hashing-384", False)}
    assert [model[3] for model in models(db)] == [True, False]


def test_a_switch_reaches_other_sessions(db, connect):
    register(db, "coder", ["python programming"])
    other = connect()
    before = route(other, "Fix this program").similarity
    use_model(db, "all-MiniLM-L6-v2")
    after = route(other, "Fix this program").similarity
    assert after != before
    assert after == route(db, "Fix this program").similarity


def test_vectors_of_two_models_are_never_compared(db):
    """A vector of the same dimension by another model is as if it were not there."""
    register(db, "a", ["code"])
    register(db, "b", ["law"])
    use_model(db, "other-384", provider="external", dimension=384)
    unit = [1.0, *[0.0] * 383]
    assert route(db, embedding=unit).similarity is None
    db.execute(
        "INSERT INTO tiny_dancer.agent_embeddings (agent_id, model_id, embedding)"
        " SELECT a.id, m.id, tiny_dancer.to_vector(%s::real[])"
        " FROM tiny_dancer.agents a, tiny_dancer.models m"
        " WHERE a.name = 'a' AND m.name = 'hashing-384'",
        [unit],
    )
    assert route(db, embedding=unit, excluded_agents=["b"]).similarity is None
    db.execute("SELECT tiny_dancer.set('snapshot_megabytes', '0')")
    with refused("TD001"):
        route(db, embedding=unit)


def test_given_vectors_stop_a_switch_and_are_named(db):
    unit = [1.0, *[0.0] * 383]
    for name in ("b-given", "a-given"):
        register(db, name, capability_embedding=unit)
    register(db, "made")
    before = (models(db), vectors(db))
    with refused(
        "55000",
        "2 agents have vectors that 'hashing-64' can not make again",
        detail="a-given, b-given",
        hint="discard := true",
    ):
        use_model(db, "hashing-64", provider="hashing", dimension=64)
    assert (models(db), vectors(db)) == before
    answer = use_model(db, "hashing-64", provider="hashing", dimension=64, discard=True)
    assert "3 agents embedded" in answer
    assert set(vectors(db).values()) == {("hashing-64", False)}


def test_many_given_vectors_are_counted_and_some_named(db):
    use_model(db, "mine", provider="external", dimension=2)
    for ordinal in range(12):
        register(db, f"agent-{ordinal:02}", capability_embedding=[1.0, 0.0])
    with refused("55000", "12 agents", detail="agent-00, .*agent-09 and 2 more"):
        use_model(db, "hashing-384")


def test_a_switch_that_is_rolled_back_leaves_nothing(db, connect):
    register_four(db)
    other = connect()
    before = (models(db), vectors(db), explain(db), explain(other))
    with db.transaction(force_rollback=True):
        use_model(db, "all-MiniLM-L6-v2")
        assert route(db, "What is chat?").similarity is not None
        assert explain(other) == before[3]
    assert (models(db), vectors(db), explain(db), explain(other)) == before


def test_a_switch_that_fails_leaves_nothing(db):
    register_four(db)
    db.execute(
        "INSERT INTO tiny_dancer.agents (name, agent_type, capabilities)"
        " VALUES ('x', 'api', ARRAY[' '])"
    )
    before = (models(db), vectors(db), explain(db))
    with refused("22023", "text to embed"):
        use_model(db, "hashing-64", provider="hashing", dimension=64)
    assert (models(db), vectors(db), explain(db)) == before


def test_a_model_used_before_is_used_again_by_its_name(db):
    use_model(db, "hashing-64", provider="hashing", dimension=64)
    use_model(db, "hashing-384")
    use_model(db, "hashing-64", provider="hashing", dimension=64)
    assert [model[:1] + model[3:] for model in models(db)] == [
        ("hashing-384", False),
        ("hashing-64", True),
    ]


def test_the_external_provider_takes_vectors_and_no_text(db):
    use_model(db, "mine", provider="external", dimension=3)
    register(db, "east", capability_embedding=[1.0, 0.0, 0.0])
    register(db, "north", capability_embedding=[0.0, 2.0, 0.0])
    register(db, "nowhere", ["chat"])
    assert chosen(db, embedding=[9.0, 1.0, 0.0], optimize_for="quality") == "east"
    assert chosen(db, embedding=[1.0, 9.0, 0.0], optimize_for="quality") == "north"
    for function, argument in (
        ("ruvector_route", "request"),
        ("ruvector_embed", "content"),
        ("ruvector_find_agents_by_capability", "capability"),
    ):
        with refused("55000", 'model "mine" cannot embed text', hint="argument embedding"):
            call(db, function, **{argument: "hello"})


@pytest.mark.parametrize("statement", BEFORE_SETUP)
def test_a_model_whose_files_are_missing(db, statement):
    use_model(db, "all-MiniLM-L6-v2")
    db.execute("UPDATE tiny_dancer.models SET name = 'gone' WHERE active")
    with refused("58P01", 'model "gone" is not on this host', hint="tiny-dancer model import gone"):
        db.execute(statement)
    assert agent_names(db) == []


def test_a_given_embedding_needs_no_file_of_the_model(db):
    use_model(db, "all-MiniLM-L6-v2")
    register_four(db)
    db.execute("UPDATE tiny_dancer.models SET name = 'gone' WHERE active")
    assert route(db, embedding=[1.0, *[0.0] * 383])


def test_a_model_whose_files_are_others(db):
    use_model(db, "all-MiniLM-L6-v2")
    db.execute("UPDATE tiny_dancer.models SET checksum = repeat('0', 64) WHERE active")
    with refused(
        "58P01", "is not the one that this database uses", detail="checksum", hint="import"
    ):
        route(db)
    with refused("58P01", "is not the one"):
        call(db, "tiny_dancer.setup")
    findings = {row.subject: row for row in call(db, "tiny_dancer.doctor")}
    assert not findings["embedding model"].ok


def test_the_doctor_finds_everything_in_order(meaning_db):
    register_four(meaning_db)
    findings = {row.subject: row for row in call(meaning_db, "tiny_dancer.doctor")}
    subjects = {"server", "python", "library", "numpy", "onnxruntime", "tokenizers", "pgvector"}
    assert subjects | {"embedding model", "registry", "memory"} <= set(findings)
    assert [row for row in findings.values() if not row.ok] == []
    assert "4 agents" in findings["registry"].finding
    assert all(row.finding and row.remedy is None for row in findings.values())


def test_the_doctor_misses_the_index_of_a_large_registry(db):
    register_four(db)
    db.execute("SELECT tiny_dancer.set('exact_search_limit', '3')")
    [missing] = [row for row in call(db, "tiny_dancer.doctor") if not row.ok]
    assert missing.subject == "vector index"
    assert "rebuild_indexes()" in missing.remedy
    db.execute("SELECT tiny_dancer.rebuild_indexes()")
    assert [row for row in call(db, "tiny_dancer.doctor") if not row.ok] == []


def test_warmup_says_what_took_how_long(meaning_db, connect):
    session = connect()
    first = {row.subject: row.milliseconds for row in call(session, "tiny_dancer.warmup")}
    assert set(first) >= {"registry", "embedding model"}
    again = {row.subject: row.milliseconds for row in call(session, "tiny_dancer.warmup")}
    assert again["embedding model"] < first["embedding model"]
