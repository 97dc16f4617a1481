"""Settings: read from text, bounded, with defaults that are valid."""

import dataclasses
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_dancer.errors import InvalidArgumentError, UnknownObjectError
from tiny_dancer.settings import FIELDS, Settings, read_setting


def test_every_default_can_be_read_back():
    for name, field in FIELDS.items():
        value = read_setting(name, str(field.default))
        assert value == field.default
        assert type(value) is type(field.default)


@pytest.mark.parametrize("name", FIELDS)
def test_bounds_hold(name):
    least, most = FIELDS[name].metadata["least"], FIELDS[name].metadata["most"]
    is_whole = isinstance(FIELDS[name].default, int)
    for bound in (least, most):
        assert read_setting(name, str(int(bound) if is_whole else bound)) == bound
    for beyond in (least - 1, most + 1):
        with pytest.raises(InvalidArgumentError, match=f"setting {name} can not be"):
            read_setting(name, str(beyond))


@given(st.sampled_from(sorted(FIELDS)), st.text(max_size=20))
def test_any_text_is_a_value_in_bounds_or_refused(name, text):
    with suppress(InvalidArgumentError):
        value = read_setting(name, text)
        assert FIELDS[name].metadata["least"] <= value <= FIELDS[name].metadata["most"]


def test_unknown_settings_are_refused_and_the_known_listed():
    with pytest.raises(UnknownObjectError, match="unknown setting 'x'") as caught:
        read_setting("x", "1")
    for name in FIELDS:
        assert name in caught.value.hint


def test_overrides_change_what_they_name():
    settings = Settings.with_overrides({"alternatives": "7", "weight_cost": "0.9"})
    changed = {
        field.name
        for field in dataclasses.fields(Settings)
        if getattr(settings, field.name) != field.default
    }
    assert changed == {"alternatives", "weight_cost"}


def test_balanced_weights_are_scaled_to_one():
    weights = Settings(weight_cost=0.5, weight_latency=0.0, weight_quality=0.5).weights
    assert (weights.cost, weights.latency, weights.quality) == (0.5, 0.0, 0.5)
    with pytest.raises(InvalidArgumentError, match="all 0"):
        _ = Settings(weight_cost=0.0, weight_latency=0.0, weight_quality=0.0).weights
