"""When a semantic route may be taken: the hour, the tier of the user, the rate.

Conditions are JSON that an administrator writes, so they are read strictly: a key that means
nothing is an error and not a condition that never bites.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiny_dancer.errors import InvalidArgumentError, shown

DAY = 86_400
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
KEYS = ("time_range", "time_zone", "days", "user_tier", "user_tiers", "rate_limit")
CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
MAX_TIERS = 100
MAX_LIMIT = 2_147_483_647
# A bare number limits a minute.
DEFAULT_WINDOW_SECONDS = 60.0
MAX_WINDOW_SECONDS = 366.0 * DAY


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """A part of the day, on some days of the week, by the clock of one time zone.

    Attributes:
        start: seconds after midnight, the first that is open.
        end: seconds after midnight, the first that is closed; before ``start`` where the hours
            run over midnight.
        days: 0 for Monday to 6; hours over midnight belong to the day on which they began.
        zone: whose clock is read.
    """

    start: int
    end: int
    days: frozenset[int]
    zone: datetime.tzinfo

    def include(self, now: datetime.datetime) -> bool:
        """Whether it is open at a time, which must carry its time zone."""
        local = now.astimezone(self.zone)
        second = local.hour * 3600 + local.minute * 60 + local.second
        day = local.weekday()
        if self.start < self.end:
            return self.start <= second < self.end and day in self.days
        if second >= self.start:
            return day in self.days
        return second < self.end and (day - 1) % 7 in self.days


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most ``limit`` passes in a window of ``per_seconds``, which begins with its first."""

    limit: int
    per_seconds: float


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What a caller says about a request.

    Attributes:
        user_tier: without regard to case, None if it was not said.
    """

    user_tier: str | None = None

    @classmethod
    def parse(cls, value: Any) -> RequestContext:
        """Read the context; keys that no condition looks at are the caller's own.

        Raises:
            InvalidArgumentError: it is not an object, or user_tier is not text.
        """
        if value is None:
            return cls()
        if not isinstance(value, Mapping):
            raise InvalidArgumentError(
                f"context is {shown(value)}",
                hint='Give a JSON object, for example {"user_tier": "premium"}.',
            )
        tier = value.get("user_tier")
        if tier is not None and not isinstance(tier, str):
            raise InvalidArgumentError(
                f"context.user_tier is {shown(tier)}", hint="Give the tier of the user as text."
            )
        return cls(None if tier is None else _tier_key(tier))


@dataclass(frozen=True, slots=True)
class RouteConditions:
    """Every condition must hold; None is one that was not set."""

    hours: OpeningHours | None = None
    user_tiers: frozenset[str] | None = None
    rate_limit: RateLimit | None = None

    @classmethod
    def parse(cls, value: Any) -> RouteConditions:
        """Read conditions from decoded JSON.

        Raises:
            InvalidArgumentError: a key is unknown, or a value can not mean what it should.
        """
        if not isinstance(value, Mapping):
            raise InvalidArgumentError(
                f"conditions are {shown(value)}",
                hint='Give a JSON object, for example {"time_range": ["22:00", "06:00"]}.',
            )
        for key in value:
            if key not in KEYS:
                raise InvalidArgumentError(
                    f"unknown condition {key!r}", hint=f"The conditions are: {', '.join(KEYS)}."
                )
        limit = value.get("rate_limit")
        return cls(
            _read_hours(value), _read_tiers(value), None if limit is None else _read_limit(limit)
        )

    def hold(self, now: datetime.datetime, context: RequestContext) -> bool:
        """Whether hour and tier allow the route; the rate is counted elsewhere."""
        if self.user_tiers is not None and context.user_tier not in self.user_tiers:
            return False
        return self.hours is None or self.hours.include(now)


def _read_hours(value: Mapping[str, Any]) -> OpeningHours | None:
    span, zone, days = value.get("time_range"), value.get("time_zone"), value.get("days")
    if span is None and days is None:
        if zone is not None:
            raise InvalidArgumentError(
                "condition time_zone has no meaning alone", hint="Give time_range or days, too."
            )
        return None
    start, end = (0, DAY) if span is None else _read_span(span)
    return OpeningHours(start, end, _read_days(days), _read_zone(zone))


def _read_span(span: Any) -> tuple[int, int]:
    if not isinstance(span, list) or len(span) != 2:
        raise InvalidArgumentError(
            f"condition time_range is {shown(span)}",
            hint='Give the first time and the time after the last: ["22:00", "06:00"].',
        )
    start, end = _read_clock(span[0]), _read_clock(span[1])
    if start in (end, DAY):
        raise InvalidArgumentError(
            f"condition time_range {shown(span)} has no length",
            hint='Leave time_range out for the whole day, or give ["00:00", "24:00"].',
        )
    return start, end


def _read_clock(text: Any) -> int:
    if text == "24:00":
        return DAY
    found = CLOCK.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise InvalidArgumentError(
            f"time {shown(text)} in condition time_range can not be read",
            hint="Write hours and minutes of the 24-hour clock as text, for example '06:30'.",
        )
    hours, minutes, seconds = found.groups(default="0")
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds)


def _read_days(days: Any) -> frozenset[int]:
    if days is None:
        return frozenset(range(7))
    if not isinstance(days, list) or not days:
        raise InvalidArgumentError(
            f"condition days is {shown(days)}", hint='Give a list, for example ["mon", "tue"].'
        )
    return frozenset(_read_day(day) for day in days)


def _read_day(day: Any) -> int:
    key = day.strip().lower() if isinstance(day, str) else ""
    for names in (DAYS, DAY_NAMES):
        if key in names:
            return names.index(key)
    raise InvalidArgumentError(
        f"unknown day {shown(day)} in condition days", hint=f"The days are: {', '.join(DAYS)}."
    )


def _read_zone(zone: Any) -> datetime.tzinfo:
    if zone is None or zone == "UTC":
        return datetime.UTC
    import zoneinfo  # slow to import, and few routes name a zone

    try:
        return zoneinfo.ZoneInfo(zone)
    except (KeyError, ValueError, TypeError, AttributeError, OSError):
        raise InvalidArgumentError(
            f"unknown time zone {shown(zone)} in condition time_zone",
            hint="Give a name of the IANA data base, for example 'Europe/Zurich'; "
            "a host without that data base needs the package tzdata.",
        ) from None


def _read_tiers(value: Mapping[str, Any]) -> frozenset[str] | None:
    if value.get("user_tier") is not None and value.get("user_tiers") is not None:
        raise InvalidArgumentError(
            "conditions have both user_tier and user_tiers",
            hint="Give one of them; both take a tier or a list of tiers.",
        )
    tiers = value.get("user_tiers") if value.get("user_tier") is None else value["user_tier"]
    if tiers is None:
        return None
    listed = [tiers] if isinstance(tiers, str) else tiers
    is_list = isinstance(listed, list) and 0 < len(listed) <= MAX_TIERS
    if not is_list or not all(isinstance(t, str) and t.strip() for t in listed):
        raise InvalidArgumentError(
            f"condition user_tier is {shown(tiers)}",
            hint=f'Give a tier, or a list of up to {MAX_TIERS}: ["premium", "enterprise"].',
        )
    return frozenset(_tier_key(tier) for tier in listed)


def _read_limit(limit: Any) -> RateLimit:
    window: Any = DEFAULT_WINDOW_SECONDS
    most = limit
    if isinstance(limit, Mapping):
        if not {"limit"} <= set(limit) <= {"limit", "per_seconds"}:
            raise InvalidArgumentError(
                f"condition rate_limit is {shown(limit)}",
                hint='Give a number per minute, or {"limit": 100, "per_seconds": 60}.',
            )
        most, window = limit["limit"], limit.get("per_seconds", DEFAULT_WINDOW_SECONDS)
    if not _is_number(most) or most != int(most) or not 1 <= most <= MAX_LIMIT:
        raise InvalidArgumentError(
            f"condition rate_limit allows {shown(most)}",
            hint=f"Give a whole number from 1 to {MAX_LIMIT}.",
        )
    if not _is_number(window) or not 0 < window <= MAX_WINDOW_SECONDS:
        raise InvalidArgumentError(
            f"condition rate_limit has a window of {shown(window)}",
            hint="Give per_seconds as a number above 0, at most a year.",
        )
    return RateLimit(int(most), float(window))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf


def _tier_key(tier: str) -> str:
    return tier.strip().casefold()
