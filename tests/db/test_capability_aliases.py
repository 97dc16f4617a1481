"""Other names of capabilities, set by function."""

from __future__ import annotations

import pytest
from outcomes import at_once, refusals
from refusal import refused
from registration import call, chosen, register


def set_alias(session, alias, capability):
    return call(session, "ruvector_set_capability_alias", alias=alias, capability=capability)[0][0]


def aliases(session):
    return [tuple(row) for row in call(session, "ruvector_list_capability_aliases")]


def test_an_alias_meets_a_required_capability(registry):
    register(registry, "coder", ["Code Generation"])
    register(registry, "writer", ["writing"])
    with refused("TD001"):
        chosen(registry, required_capabilities=["programming"])
    assert set_alias(registry, " Programming ", "code generation") is True
    assert chosen(registry, required_capabilities=["PROGRAMMING"]) == "coder"
    assert call(registry, "ruvector_drop_capability_alias", alias="programming")[0][0] is True
    with refused("TD001"):
        chosen(registry, required_capabilities=["programming"])


def test_an_alias_also_works_the_other_way_round(registry):
    register(registry, "coder", ["coding"])
    set_alias(registry, "coding", "programming")
    assert chosen(registry, required_capabilities=["programming"]) == "coder"


def test_setting_again_replaces_and_the_list_is_ordered(registry):
    set_alias(registry, "b", "Y")
    set_alias(registry, "a", "Y")
    set_alias(registry, "c", "z")
    set_alias(registry, "C", "x")
    assert aliases(registry) == [("c", "x"), ("a", "Y"), ("b", "Y")]


@pytest.mark.parametrize(
    ("alias", "capability"), [("b", "a"), ("B", " A "), ("programming", "x"), ("x", "X")]
)
def test_an_alias_of_an_alias_is_refused(registry, alias, capability):
    set_alias(registry, "a", "programming")
    before = aliases(registry)
    with refused("22023", "alias of an alias", detail="stands for"):
        set_alias(registry, alias, capability)
    assert aliases(registry) == before


def test_two_sessions_can_not_make_a_chain(db, connect):
    pairs = {0: ("a", "b"), 1: ("b", "c")}
    sessions = [connect() for _ in pairs]
    results = at_once(sessions, lambda session: set_alias(session, *pairs[sessions.index(session)]))
    assert refusals(results) == ["22023"]
    assert len(aliases(db)) == 1


@pytest.mark.parametrize("name", ["", "  ", None, "a\nb", "x" * 201])
def test_names_that_make_no_sense(registry, name):
    with refused("22023", "alias can not be"):
        set_alias(registry, name, "code")
    with refused("22023", "capability can not be"):
        set_alias(registry, "code", name)


@pytest.mark.parametrize("alias", ["nothing", None])
def test_dropping_what_is_not_there(registry, alias):
    with refused("42704", "unknown capability alias"):
        call(registry, "ruvector_drop_capability_alias", alias=alias)
