"""A model that was built anew: another checksum under the same name."""

from refusal import refused
from registration import register, route

OTHER_BUILD = "UPDATE tiny_dancer.models SET checksum = repeat('ab', 32) WHERE active"


def test_text_is_refused_and_the_hint_names_the_way_out(meaning_db):
    register(meaning_db, "a", ["cooking"])
    meaning_db.execute(OTHER_BUILD)
    with refused("58P01", "is not the one", hint="use_model"):
        route(meaning_db, "Bake a cake")


def test_using_the_model_again_embeds_everything_with_the_present_build(meaning_db):
    register(meaning_db, "a", ["cooking"])
    [before] = meaning_db.execute(
        "SELECT embedding::text AS v, model_id FROM tiny_dancer.agent_embeddings"
    ).fetchall()
    meaning_db.execute(OTHER_BUILD)
    meaning_db.execute("SELECT tiny_dancer.use_model('all-MiniLM-L6-v2')")
    [after] = meaning_db.execute(
        "SELECT embedding::text AS v, model_id FROM tiny_dancer.agent_embeddings"
    ).fetchall()
    assert after.v == before.v
    assert after.model_id != before.model_id
    names = {
        row.name: row.active
        for row in meaning_db.execute("SELECT name, active FROM tiny_dancer.models")
    }
    assert names["all-MiniLM-L6-v2"] is True
    assert names["all-MiniLM-L6-v2.abababababab"] is False
    assert route(meaning_db, "Bake a cake").agent_name == "a"
