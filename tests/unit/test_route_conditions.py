"""Conditions of semantic routes, judged at given times."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.route_conditions import RateLimit, RequestContext, RouteConditions


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def holds(conditions, when="2025-01-08T12:00", context=None):
    return RouteConditions.parse(conditions).hold(at(when), RequestContext.parse(context))


@pytest.mark.parametrize(
    ("clock", "is_open"),
    [("21:59:59", False), ("22:00", True), ("23:59:59", True), ("00:00", True), ("05:59:59", True),
     ("06:00", False), ("12:00", False)],
)  # fmt: skip
def test_a_range_over_midnight_includes_its_start_and_not_its_end(clock, is_open):
    assert holds({"time_range": ["22:00", "06:00"]}, f"2025-01-08T{clock}") is is_open


@pytest.mark.parametrize(
    ("clock", "is_open"), [("08:59", False), ("09:00", True), ("16:59", True), ("17:00", False)]
)
def test_a_range_within_a_day(clock, is_open):
    assert holds({"time_range": ["09:00", "17:00"]}, f"2025-01-08T{clock}") is is_open


def test_until_midnight():
    for end in ("24:00", "00:00"):
        conditions = {"time_range": ["18:30", end]}
        assert holds(conditions, "2025-01-08T23:59:59")
        assert not holds(conditions, "2025-01-08T00:00")


def test_a_range_is_read_on_the_clock_of_its_zone_also_in_summer():
    conditions = {"time_range": ["09:00", "17:00"], "time_zone": "America/New_York"}
    assert not holds(conditions, "2025-01-08T13:59")
    assert holds(conditions, "2025-01-08T14:00")
    assert holds(conditions, "2025-07-08T13:00")
    assert not holds(conditions, "2025-07-08T21:00")


def test_hours_over_midnight_belong_to_the_day_on_which_they_began():
    conditions = {"time_range": ["22:00", "06:00"], "days": ["Fri"]}
    assert holds(conditions, "2025-01-10T23:00")  # a Friday
    assert holds(conditions, "2025-01-11T05:00")
    assert not holds(conditions, "2025-01-11T23:00")
    assert not holds(conditions, "2025-01-10T05:00")
    assert holds({"time_range": ["22:00", "06:00"], "days": ["sunday"]}, "2025-01-13T01:00")


def test_days_alone_are_whole_days():
    weekdays = {"days": ["mon", "tue", "wed", "thu", "fri"]}
    assert holds(weekdays, "2025-01-10T23:59:59")
    assert not holds(weekdays, "2025-01-11T00:00")


@pytest.mark.parametrize("key", ["user_tier", "user_tiers"])
def test_the_tier_is_compared_without_case(key):
    assert holds({key: ["Premium", "gold"]}, context={"user_tier": " premium "})
    assert holds({key: "Premium"}, context={"user_tier": "PREMIUM", "more": 1})
    assert not holds({key: ["premium"]}, context={"user_tier": "free"})
    assert not holds({key: ["premium"]}, context={})
    assert not holds({key: ["premium"]})


def test_every_condition_must_hold():
    both = {"user_tier": "gold", "time_range": ["09:00", "17:00"]}
    assert holds(both, "2025-01-08T10:00", {"user_tier": "gold"})
    assert not holds(both, "2025-01-08T10:00")
    assert not holds(both, "2025-01-08T18:00", {"user_tier": "gold"})
    assert holds({})


def test_rate_limits_are_read_in_both_forms():
    assert RouteConditions.parse({"rate_limit": 100}).rate_limit == RateLimit(100, 60.0)
    hourly = {"rate_limit": {"limit": 5, "per_seconds": 3600}}
    assert RouteConditions.parse(hourly).rate_limit == RateLimit(5, 3600.0)
    assert RouteConditions.parse({"rate_limit": {"limit": 5}}).rate_limit == RateLimit(5, 60.0)


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ([], "conditions are"),
        ("night", "conditions are"),
        ({"time": ["22:00", "06:00"]}, "unknown condition 'time'"),
        ({"time_range": "22:00-06:00"}, "time_range is"),
        ({"time_range": ["22:00"]}, "time_range is"),
        ({"time_range": ["22:00", "22:00"]}, "no length"),
        ({"time_range": ["24:00", "06:00"]}, "no length"),
        ({"time_range": ["25:00", "06:00"]}, "'25:00'"),
        ({"time_range": [22, 6]}, "time 22"),
        ({"time_range": ["9:00", "17:00"]}, "'9:00'"),
        ({"time_range": ["22:00", "06:00"], "time_zone": "Mars/Olympus"}, "'Mars/Olympus'"),
        ({"time_range": ["22:00", "06:00"], "time_zone": "../../etc/passwd"}, "unknown time zone"),
        ({"time_range": ["22:00", "06:00"], "time_zone": 1}, "unknown time zone 1"),
        ({"time_zone": "UTC"}, "no meaning alone"),
        ({"days": []}, "days is"),
        ({"days": ["funday"]}, "'funday'"),
        ({"user_tier": []}, "user_tier is"),
        ({"user_tier": [1]}, "user_tier is"),
        ({"user_tier": "a", "user_tiers": ["b"]}, "both user_tier and user_tiers"),
        ({"rate_limit": 0}, "allows 0"),
        ({"rate_limit": True}, "allows True"),
        ({"rate_limit": "5"}, "allows '5'"),
        ({"rate_limit": 1.5}, "allows 1.5"),
        ({"rate_limit": 2**31}, "allows"),
        ({"rate_limit": {"limit": 5, "per_seconds": 0}}, "window of 0"),
        ({"rate_limit": {"limit": 5, "per_minute": 1}}, "rate_limit is"),
        ({"rate_limit": {"per_seconds": 60}}, "rate_limit is"),
    ],
)
def test_what_can_not_be_meant_is_refused(conditions, message):
    with pytest.raises(InvalidArgumentError) as caught:
        RouteConditions.parse(conditions)
    assert message in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("context", [[], "premium", {"user_tier": 3}, {"user_tier": ["a"]}])
def test_a_context_that_can_not_be_read_is_refused(context):
    with pytest.raises(InvalidArgumentError):
        RequestContext.parse(context)
