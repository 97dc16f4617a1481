"""Settings: what an administrator can change about decisions, with defaults and bounds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiny_dancer.agents.robust_prior import RobustPrior
from tiny_dancer.errors import InvalidArgumentError, UnknownObjectError, shown
from tiny_dancer.policies.candidates import Weights
from tiny_dancer.route_matching import RouteMatching


def _setting(default: Any, least: float, most: float, meaning: str) -> Any:
    bounds = {"least": least, "most": most, "meaning": meaning}
    return dataclasses.field(default=default, metadata=bounds)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting at its effective value. A database stores only what differs from these."""

    expected_output_tokens: int = _setting(
        256, 0, 1_000_000, "output tokens expected of a request, for cost estimates"
    )
    similarity_weight: float = _setting(
        6.0, 0.0, 100.0, "how far capability similarity moves the prior quality, in log-odds"
    )
    prior_strength: float = _setting(
        20.0, 0.001, 1_000_000.0, "how many outcomes a registered quality or latency counts as"
    )
    believed_prior_strength: float = _setting(
        400.0,
        0.001,
        1_000_000.0,
        "how many outcomes a registered quality counts as in the expected quality of a request, as "
        "long as the outcomes agree with it; where they do not, prior_strength",
    )
    learning_strength: float = _setting(
        150.0,
        0.001,
        1_000_000.0,
        "different requests of an agent after which what was learned from them counts half as much "
        "as it ever will",
    )
    live_state_seconds: float = _setting(
        1.0,
        0.0,
        3600.0,
        "greatest age of what a backend knows of outcomes, health and spend",
    )
    weight_cost: float = _setting(0.3, 0.0, 1.0, "weight of cost in a balanced decision")
    weight_latency: float = _setting(0.3, 0.0, 1.0, "weight of latency in a balanced decision")
    weight_quality: float = _setting(0.4, 0.0, 1.0, "weight of quality in a balanced decision")
    alternatives: int = _setting(3, 0, 100, "how many runners-up a decision names")
    exploration_share: float = _setting(
        0.0,
        0.0,
        0.5,
        "probability that a recorded decision draws its agent by chance, the better the likelier",
    )
    exploration_temperature: float = _setting(
        0.25,
        0.05,
        100.0,
        "score by which an agent must be worse to be drawn 2.7 times less often; 100 is even",
    )
    max_request_characters: int = _setting(
        1_000_000, 1, 100_000_000, "longest request accepted, in characters"
    )
    store_request_text: int = _setting(
        0, 0, 1, "1 stores the text of recorded requests, 0 only what they meant"
    )
    max_windows: int = _setting(
        4, 1, 64, "text longer than the model's window is the mean of up to this many windows"
    )
    snapshot_megabytes: float = _setting(
        32.0,
        0.0,
        4096.0,
        "most memory that a backend spends on a copy of the registry, and on one of the routes",
    )
    exact_search_limit: int = _setting(
        20_000, 0, 10_000_000, "above this many agents a capability search uses the HNSW index"
    )
    route_threshold: float = _setting(
        0.25,
        -1.0,
        1.0,
        "least similarity to a semantic route with one utterance; each e-fold more adds 0.06",
    )
    route_description_threshold: float = _setting(
        0.1, -1.0, 1.0, "least similarity to a semantic route that has no utterances"
    )
    route_priority_margin: float = _setting(
        0.02, 0.0, 2.0, "semantic routes whose similarities differ by no more go by priority"
    )
    route_index_limit: int = _setting(
        2_000, 0, 10_000_000, "above this many vectors of routes a backend uses the hnswlib index"
    )

    # Those of leases and breakers are read in SQL, where a test finds the same defaults.
    lease_max_seconds: float = _setting(
        3600.0, 1.0, 604_800.0, "longest that a lease may last without being renewed, in seconds"
    )
    breaker_failures: int = _setting(
        5,
        0,
        1000,
        "failures within the window that open an agent's circuit breaker; 0 switches it off",
    )
    breaker_window_seconds: float = _setting(
        60.0, 0.01, 86_400.0, "the window in which failures of an agent are counted, in seconds"
    )
    breaker_cooldown_seconds: float = _setting(
        30.0, 0.01, 86_400.0, "how long a circuit breaker stays open at first, in seconds"
    )
    breaker_max_cooldown_seconds: float = _setting(
        600.0, 0.01, 604_800.0, "longest that it stays open, after doubling, in seconds"
    )
    breaker_successes: int = _setting(
        2, 1, 1000, "successes after which a half-open circuit breaker closes"
    )

    # Those of maintenance are read in SQL, too. A budget that is set late counts outcomes of up to
    # a month, so that outcomes are kept for no shorter time.
    usage_retention_days: int = _setting(
        36_500, 35, 36_500, "days that outcomes and their feedback are kept; their sums stay"
    )
    decision_retention_days: int = _setting(
        36_500, 1, 36_500, "days that recorded decisions are kept"
    )
    vector_retention_days: int = _setting(
        36_500, 1, 36_500, "days that embeddings of recorded requests are kept"
    )
    idempotency_key_days: int = _setting(
        90, 1, 36_500, "days in which a repeated idempotency key returns the first outcome"
    )

    @property
    def weights(self) -> Weights:
        """The balanced weights, scaled to sum to 1.

        Raises:
            InvalidArgumentError: all three are 0.
        """
        total = self.weight_cost + self.weight_latency + self.weight_quality
        if total <= 0.0:
            raise InvalidArgumentError(
                "the weights of a balanced decision are all 0",
                hint="Raise one of weight_cost, weight_latency and weight_quality.",
            )
        return Weights(
            self.weight_cost / total, self.weight_latency / total, self.weight_quality / total
        )

    @property
    def robust_prior(self) -> RobustPrior:
        """How much registered qualities are worth."""
        return RobustPrior(self.believed_prior_strength, self.prior_strength)

    @property
    def route_matching(self) -> RouteMatching:
        """The defaults of semantic routes."""
        return RouteMatching(
            self.route_threshold, self.route_description_threshold, self.route_priority_margin
        )

    @classmethod
    def with_overrides(cls, overrides: Mapping[str, str]) -> Settings:
        """Return the settings with some of them replaced by values given as text.

        Raises:
            UnknownObjectError: there is no such setting.
            InvalidArgumentError: the value is not a number or out of bounds.
        """
        values: dict[str, Any] = {n: read_setting(n, text) for n, text in overrides.items()}
        return cls(**values)


FIELDS = {field.name: field for field in dataclasses.fields(Settings)}


def read_setting(name: str, text: str) -> float | int:
    """Return the value of a setting from its text.

    Raises:
        UnknownObjectError: there is no such setting; the hint lists them.
        InvalidArgumentError: the value is not a number of its type, or out of bounds.
    """
    if name not in FIELDS:
        raise UnknownObjectError(
            f"unknown setting {shown(name)}", hint=f"The settings are: {', '.join(FIELDS)}."
        )
    field = FIELDS[name]
    is_whole = isinstance(field.default, int)
    least, most = field.metadata["least"], field.metadata["most"]
    try:
        value = int(text) if is_whole else float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not (least <= value <= most):
        kind = "a whole number" if is_whole else "a number"
        raise InvalidArgumentError(
            f"setting {name} can not be {shown(text)}",
            hint=f"Give {kind} from {least:g} to {most:g}; the default is {field.default}.",
        )
    return value
