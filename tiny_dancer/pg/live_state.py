"""Outcomes, health, load and spend, read at a bounded age and apart from the registry.

They change with every request, so they move no epoch: a backend reads them again when what it has
is older than the setting live_state_seconds. Where reading takes long, it is read less often, so
that a backend never spends more than a twentieth of its time on it; at 0 it is read each time.
What one role read is not shown to another, and where row-level security applies nothing is kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.live_state import LiveState
from tiny_dancer.agents.performance import AgentPerformance, Outcomes
from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.router import Router
from tiny_dancer.settings import Settings

if TYPE_CHECKING:
    from tiny_dancer.learning.learned_quality import LearnedQuality
    from tiny_dancer.learning.router_model import RouterModel
    from tiny_dancer.pg.backend import Backend, Row
    from tiny_dancer.pg.snapshot import Snapshot

# At most this share of the time is spent on reading.
READING_SHARE = 0.05

OUTCOMES = "SELECT * FROM tiny_dancer.agent_outcomes()"
HEALTH = "SELECT agent_id, available, in_flight FROM tiny_dancer.agent_health()"
AGENT_BUDGETS = "SELECT agent_id, remaining FROM tiny_dancer.agent_budgets()"
OUTCOMES_SINCE = "SELECT * FROM tiny_dancer.outcomes_since($1, $2)"
TAG_BUDGETS = "SELECT tag, remaining FROM tiny_dancer.tag_budgets()"


class Readings(NamedTuple):
    """What was read at one moment, by the ids of agents.

    Attributes:
        news: outcomes since the active router model was trained.
    """

    outcomes: dict[int, Row]
    health: dict[int, Row]
    budgets: dict[int, float]
    tag_budgets: dict[str, float]
    news: dict[int, Row]

    def performance(self, registry: AgentRegistry, settings: Settings) -> AgentPerformance:
        """Return what is expected of the agents of a registry."""
        if not self.outcomes:
            return AgentPerformance(registry, settings)
        return AgentPerformance(registry, settings, self._outcomes_of(registry))

    def _outcomes_of(self, registry: AgentRegistry) -> Outcomes:
        rows = [self.outcomes.get(agent_id, {}) for agent_id in registry.ids]
        return Outcomes(
            requests=_column(rows, "requests"),
            quality_count=_column(rows, "observations"),
            mean_quality=_column(rows, "mean_quality"),
            latency_count=_column(rows, "latencies"),
            mean_latency_ms=_column(rows, "avg_latency_ms"),
            output_count=_column(rows, "outputs"),
            mean_output_tokens=_column(rows, "avg_output_tokens"),
        )

    def learned(
        self,
        router_model: RouterModel | None,
        registry: AgentRegistry,
        settings: Settings,
        performance: AgentPerformance,
    ) -> LearnedQuality | None:
        """Return what was learned about the agents of a registry, None where nothing was."""
        if router_model is None:
            return None
        from tiny_dancer.learning.learned_quality import LearnedQuality, NewOutcomes
        from tiny_dancer.predictors.prior_blend import PriorBlend

        rows = [self.news.get(agent_id, {}) for agent_id in registry.ids]
        news = NewOutcomes(
            count=_column(rows, "outcomes"),
            quality=_column(rows, "quality"),
            foreseen=_column(rows, "foreseen"),
            foreseen_quality=_column(rows, "foreseen_quality"),
        )
        blending = PriorBlend(settings.robust_prior, settings.learning_strength)
        return LearnedQuality(
            router_model, registry, performance, settings.similarity_weight, blending, news
        )

    def live_state(self, registry: AgentRegistry, tags: Iterable[str] = ()) -> LiveState:
        """Return health, load and budgets of the agents of a registry.

        Args:
            registry: n agents.
            tags: of the request; their budgets hold for every agent.
        """
        count = len(registry)
        live = LiveState.idle(count)
        if self.health:
            rows = [self.health.get(agent_id, {}) for agent_id in registry.ids]
            live.healthy[:] = [row.get("available", True) for row in rows]
            live.in_flight[:] = _column(rows, "in_flight")
        for place, agent_id in enumerate(registry.ids):
            live.budget_remaining[place] = self.budgets.get(agent_id, np.inf)
        for tag in tags:
            least = self.tag_budgets.get(tag, np.inf)
            np.minimum(live.budget_remaining, least, out=live.budget_remaining)
        return LiveState(live.healthy, live.in_flight, live.budget_remaining)


class LiveRouters:
    """Gives a router over a snapshot with readings that are recent enough."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._readings: Readings | None = None
        self._key: tuple[Any, ...] = ()
        self._stale_at = 0.0
        self._router: tuple[Any, Router] | None = None

    def router(self, snapshot: Snapshot, registry: AgentRegistry, tags: Sequence[str]) -> Router:
        """Return a router over a registry.

        Args:
            snapshot: which the registry is of.
            registry: the whole one, or a part of it.
            tags: of the request.
        """
        readings = self._current(snapshot)
        settings = snapshot.configuration.settings
        if self._router is None or self._router[0] is not registry:
            live = readings.live_state(registry)
            performance = readings.performance(registry, settings)
            learned = readings.learned(snapshot.router_model, registry, settings, performance)
            router = Router(registry, settings, performance, live, learned)
            self._router = (registry, router)
        kept = self._router[1]
        if not readings.tag_budgets or not any(tag in readings.tag_budgets for tag in tags):
            return kept
        live = readings.live_state(registry, tags)
        return Router(registry, settings, kept.performance, live, kept.learned)

    def _current(self, snapshot: Snapshot) -> Readings:
        now = time.monotonic()
        learned = snapshot.router_model
        key = (
            self._backend.snapshots.role,
            snapshot.configuration.settings,
            None if learned is None else learned.id,
        )
        if (
            self._readings is None
            or now >= self._stale_at
            or self._key != key
            or snapshot.is_filtered
            or self._backend.snapshots.is_live_state_filtered
        ):
            self._readings = self._read(learned)
            self._key, self._router = key, None
            took = time.monotonic() - now
            age = snapshot.configuration.settings.live_state_seconds
            if age > 0.0:
                age = max(age, took / READING_SHARE)
            self._stale_at = now + age
        return self._readings

    def _read(self, router_model: RouterModel | None) -> Readings:
        rows = self._backend.rows
        since: Iterable[Row] = ()
        if router_model is not None:
            which = (router_model.id, router_model.last_usage_id)
            since = rows(OUTCOMES_SINCE, ("bigint", "bigint"), *which)
        return Readings(
            outcomes={row["agent_id"]: row for row in rows(OUTCOMES)},
            health={row["agent_id"]: row for row in rows(HEALTH)},
            budgets={row["agent_id"]: row["remaining"] for row in rows(AGENT_BUDGETS)},
            tag_budgets={row["tag"]: row["remaining"] for row in rows(TAG_BUDGETS)},
            news={row["agent_id"]: row for row in since},
        )


def _column(rows: Sequence[Row], name: str) -> NDArray[np.float64]:
    return np.array([row.get(name) or 0.0 for row in rows], dtype=np.float64)
