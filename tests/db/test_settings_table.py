"""Settings in SQL: set, listed, bounded, reset."""

from __future__ import annotations

import pytest
from refusal import refused
from registration import call, register_four, route

from tiny_dancer.settings import FIELDS, Settings


def listed(session):
    return {row.name: row for row in call(session, "tiny_dancer.list_settings")}


def test_every_setting_is_listed_with_default_bounds_and_meaning(registry):
    rows = listed(registry)
    assert list(rows) == list(FIELDS)
    for row in rows.values():
        assert row.value == row.default_value
        assert row.minimum <= float(row.value) <= row.maximum
        assert row.meaning


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_takes_its_bounds_and_nothing_beyond(registry, name):
    row = listed(registry)[name]
    is_whole = isinstance(getattr(Settings(), name), int)

    def as_text(value):
        return str(int(value)) if is_whole else repr(value)

    for bound in (row.maximum, row.minimum):
        [(answer,)] = call(registry, "tiny_dancer.set", name=name, value=as_text(bound))
        assert float(answer) == bound
        assert float(listed(registry)[name].value) == bound
    for beyond in (row.minimum - 1, row.maximum + 1):
        with refused("22023", f"setting {name} can not be", hint=r"from .* to .*default"):
            call(registry, "tiny_dancer.set", name=name, value=as_text(beyond))
    assert float(listed(registry)[name].value) == row.minimum


@pytest.mark.parametrize("name", FIELDS)
def test_null_returns_a_setting_to_its_default(registry, name):
    row = listed(registry)[name]
    call(registry, "tiny_dancer.set", name=name, value=str(FIELDS[name].metadata["most"]))
    [(answer,)] = call(registry, "tiny_dancer.set", name=name, value=None)
    assert answer == row.default_value
    assert listed(registry)[name] == row
    assert registry.execute("SELECT * FROM tiny_dancer.settings").fetchall() == []


def test_only_what_was_set_is_stored(registry):
    call(registry, "tiny_dancer.set", name="alternatives", value=" 5 ")
    stored = registry.execute("SELECT * FROM tiny_dancer.settings").fetchall()
    assert stored == [("alternatives", "5")]


def test_weights_can_not_all_be_zero(registry):
    call(registry, "tiny_dancer.set", name="weight_cost", value="0")
    call(registry, "tiny_dancer.set", name="weight_latency", value="0")
    with refused("22023", "weights of a balanced decision are all 0", hint="weight_cost"):
        call(registry, "tiny_dancer.set", name="weight_quality", value="0")
    assert float(listed(registry)["weight_quality"].value) == 0.4


def test_the_limit_on_the_length_of_requests_is_obeyed(registry):
    register_four(registry)
    call(registry, "tiny_dancer.set", name="max_request_characters", value="10")
    assert route(registry, "x" * 10)
    with refused("22023", "request has 11 characters", detail="At most 10"):
        route(registry, "x" * 11)
    with refused("22023", "11 characters"):
        call(registry, "ruvector_embed", content="x" * 11)


@pytest.mark.parametrize(("name", "value"), [("nothing", "1"), ("alternatives", "many")])
def test_a_bad_row_written_past_the_function_is_named_and_can_be_taken_away(registry, name, value):
    register_four(registry)
    registry.execute("INSERT INTO tiny_dancer.settings VALUES (%s, %s)", (name, value))
    with refused("42704" if name == "nothing" else "22023", name, hint="."):
        route(registry)
    call(registry, "tiny_dancer.set", name=name, value=None)
    assert route(registry)
