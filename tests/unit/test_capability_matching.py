"""Capabilities: keys, aliases, columns, and the match that multiplies scores."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tiny_dancer.agents.capabilities import (
    capability_columns,
    capability_key,
    capability_match,
    capability_text,
    resolve_aliases,
)

names = st.sampled_from("abcdef")


def test_keys_ignore_case_and_surrounding_white_space():
    assert capability_key(" Code\t") == capability_key("CODE") == "code"
    assert capability_key("Straße") == capability_key("STRASSE")


def test_aliases_lead_to_the_capability():
    aliases = resolve_aliases({"coding": "code", "programming": "coding"})
    assert {capability_key(name, aliases) for name in ("Coding", "PROGRAMMING", "code")} == {"code"}


def test_aliases_in_a_circle_stand_for_the_least_of_them():
    aliases = resolve_aliases({"c": "a", "a": "b", "b": "c", "x": "b"})
    assert aliases == {"a": "a", "b": "a", "c": "a", "x": "a"}


@given(st.dictionaries(names, names))
def test_resolved_aliases_lead_there_in_one_step(aliases):
    resolved = resolve_aliases(aliases)
    assert set(resolved) == set(aliases)
    for alias, target in aliases.items():
        assert capability_key(alias, resolved) == capability_key(target, resolved)
    for end in resolved.values():
        assert capability_key(end, resolved) == end


def test_columns_say_who_has_a_capability():
    columns = capability_columns([["Code", "law"], [], ["coding"]], {"coding": "code"})
    assert {key: column.tolist() for key, column in columns.items()} == {
        "code": [True, False, True],
        "law": [True, False, False],
    }


def test_the_match_is_between_0_and_1_and_keeps_the_order():
    match = capability_match(np.array([-1.0, -0.5, 0.0, 1.0]))
    assert match.tolist() == [0.0, 0.25, 0.5, 1.0]


def test_the_text_of_capabilities_is_that_of_the_plan():
    assert capability_text(["code", "law"]) == "code, law"
