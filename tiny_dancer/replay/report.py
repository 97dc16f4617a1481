"""A replay from end to end: another policy's choices in, its estimated quality and cost out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.batch import NOBODY
from tiny_dancer.errors import NotReadyError
from tiny_dancer.replay.logged_decisions import LoggedDecisions
from tiny_dancer.replay.off_policy import (
    Interval,
    Matches,
    PolicyEstimate,
    cost_interval,
    doubly_robust,
    rate_interval,
    self_normalised,
)
from tiny_dancer.replay.outcome_chances import OutcomeChances, chance_inputs
from tiny_dancer.replay.reward_models import FOLDS, Guesses, RewardModels, reward_inputs
from tiny_dancer.training.held_back import duplicate_groups, folds

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]
Booleans = NDArray[np.bool_]

# Below these no interval is trusted.
LEAST_DECISIONS = 100
LEAST_EFFECTIVE = 50.0


@dataclass(frozen=True, slots=True)
class ReplayEstimate:
    """One estimate.

    Attributes:
        estimator: 'snips' or 'doubly_robust'.
        measure: 'quality' or 'cost' (dollars for each request).
        value: of the policy.
        observed: mean of what the recorded decisions led to.
        effective_sample_size: see ``Matches``, of the decisions whose measure is known.
        without_outcome: share of the decisions whose measure is not known.
    """

    estimator: str
    measure: str
    value: PolicyEstimate
    observed: float
    effective_sample_size: float
    without_outcome: float


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """All estimates of a replay, and what they rest on.

    Attributes:
        estimates: two estimators of two measures.
        decisions: that were used.
        not_explored: decisions that were left out, because chance had no part in them.
        agreement: share where the policy chooses what was recorded.
        unserved: share where no candidate meets the policy's constraints; there the recorded
            choice stands.
    """

    estimates: list[ReplayEstimate]
    decisions: int
    not_explored: int
    agreement: float
    unserved: float


# From an agent for each decision to what is expected of it, [n].
Prediction = Callable[[Positions], Floats]


class _Measure(NamedTuple):
    """One thing that decisions lead to.

    Attributes:
        name: of it.
        rewards: how much of it, NaN where not known, [n].
        interval: that suits it.
        guess: from an agent for each decision to what is expected before any outcome is known.
        proportional: see ``Guesses``.
    """

    name: str
    rewards: Floats
    interval: Interval
    guess: Prediction
    proportional: bool = False

    @property
    def known(self) -> Booleans:
        """Where it is known, [n]."""
        return ~np.isnan(self.rewards)


def replay(
    decisions: LoggedDecisions,
    choose: Callable[[LoggedDecisions], Positions],
    price: Callable[[LoggedDecisions, Positions], Floats],
    agents: int,
    *,
    seed: int = 0,
    progress: Callable[[str], None] = lambda message: None,
) -> ReplayReport:
    """Estimate what a policy would have led to.

    Args:
        decisions: recorded ones.
        choose: the policy; from decisions to positions of agents, NOBODY where it can choose none.
        price: from decisions and an agent for each to its estimated cost, NaN where unknown.
        agents: how many positions there are.
        seed: of how the decisions are dealt into parts.
        progress: called now and then.

    Raises:
        NotReadyError: too little was recorded, explored, or came back as outcomes.
    """
    return ExploredLog.of(decisions, price, agents, seed=seed, progress=progress).replay(choose)


@dataclass(frozen=True, slots=True, eq=False)
class ExploredLog:
    """Decisions by which policies can be judged, and what was learned from them, once for all.

    Attributes:
        used: the decisions that can be replayed.
        not_explored: how many could not.
        measures: what they led to.
        learner: from their outcomes.
    """

    used: LoggedDecisions
    not_explored: int
    measures: tuple[_Measure, ...]
    learner: _Learner

    @classmethod
    def of(
        cls,
        decisions: LoggedDecisions,
        price: Callable[[LoggedDecisions, Positions], Floats],
        agents: int,
        *,
        seed: int = 0,
        progress: Callable[[str], None] = lambda message: None,
    ) -> ExploredLog:
        """Take what can be replayed; arguments and errors as of ``replay``."""
        usable = decisions.can_be_replayed
        _require_explored(decisions, usable)
        used = decisions.rows(usable)
        measures = (
            _Measure("quality", used.quality, rate_interval, used.expected_of),
            _Measure("cost", used.cost, cost_interval, functools.partial(price, used), True),
        )
        learner = _Learner(used, _parts(used, seed), agents, progress)
        return cls(used, int((~usable).sum()), measures, learner)

    def replay(self, choose: Callable[[LoggedDecisions], Positions]) -> ReplayReport:
        """Estimate what a policy would have led to; see ``replay``."""
        used = self.used
        chosen = choose(used)
        obeyed = used.is_rule | (chosen == NOBODY)
        target = np.where(obeyed, used.chosen, chosen)
        matches = _matches(used, target, obeyed)
        for measure in self.measures:
            _require_enough(measure.name, matches.rows(measure.known))
        estimates = []
        for measure in self.measures:
            estimates += _estimates(measure, matches, self.learner, target)
        return ReplayReport(
            estimates=estimates,
            decisions=len(used),
            not_explored=self.not_explored,
            agreement=float((target == used.chosen).mean()),
            unserved=float(((chosen == NOBODY) & ~used.is_rule).mean()),
        )


def _estimates(
    measure: _Measure, matches: Matches, learner: _Learner, target: Positions
) -> list[ReplayEstimate]:
    """Return both estimates of one measure.

    Outcomes that seldom come back stand for those that did not.
    """
    likely = matches.standing_for(1.0 / learner.chances(measure).of(target))
    models, guesses = learner.models(measure), measure.guess(target)
    known = likely.rows(measure.known)
    rewards = measure.rewards[measure.known]
    in_proportion = guesses[measure.known] if measure.proportional else None
    recorded = learner.used.chosen
    values = {
        "snips": self_normalised(known, rewards, measure.interval, in_proportion),
        "doubly_robust": doubly_robust(
            likely,
            measure.rewards,
            models.predict(target, guesses),
            models.predict(recorded, measure.guess(recorded)),
            measure.interval,
        ),
    }
    return [
        ReplayEstimate(
            estimator=estimator,
            measure=measure.name,
            value=value,
            observed=float(rewards.mean()),
            effective_sample_size=known.effective_sample_size,
            without_outcome=1.0 - len(rewards) / len(measure.rewards),
        )
        for estimator, value in values.items()
    ]


class _Learner:
    """Learns from decisions what to expect of every agent, when it is first asked."""

    def __init__(
        self,
        used: LoggedDecisions,
        parts: list[NDArray[np.int64]],
        agents: int,
        progress: Callable[[str], None],
    ) -> None:
        self.used = used
        self._parts = parts
        self._agents = agents
        self._progress = progress
        self._models: dict[str, RewardModels] = {}
        self._chances: dict[str, OutcomeChances] = {}

    def models(self, measure: _Measure) -> RewardModels:
        """Return what foretells a measure, without having seen the decision."""
        if measure.name not in self._models:
            chosen = self.used.chosen
            guesses = Guesses(measure.guess(chosen), measure.proportional)
            self._models[measure.name] = RewardModels.fit(
                self._reward_inputs,
                chosen,
                measure.rewards,
                guesses,
                self._parts,
                self._agents,
                self._progress,
            )
        return self._models[measure.name]

    def chances(self, measure: _Measure) -> OutcomeChances:
        """Return with which chance a measure is known."""
        if measure.name not in self._chances:
            self._chances[measure.name] = OutcomeChances.fit(
                self._chance_inputs,
                self.used.chosen,
                measure.known,
                self._parts,
                self._agents,
                self._progress,
            )
        return self._chances[measure.name]

    @functools.cached_property
    def _reward_inputs(self) -> NDArray[np.float32]:
        return reward_inputs(self.used)

    @functools.cached_property
    def _chance_inputs(self) -> NDArray[np.float32]:
        return chance_inputs(self.used)


def _matches(used: LoggedDecisions, target: Positions, obeyed: Booleans) -> Matches:
    """Compare the recorded choices with those of the policy.

    Where the recorded choice stands, by a rule or for want of another, the policy is the recorded
    one, and a choice weighs 1 however unlikely it was.
    """
    probabilities = used.probabilities[used.place_of(target)]
    probabilities = np.where(obeyed, 1.0, probabilities)
    return Matches.of(target == used.chosen, probabilities)


def _parts(used: LoggedDecisions, seed: int) -> list[NDArray[np.int64]]:
    groups = duplicate_groups(used.embeddings)
    parts = folds(groups, used.chosen.astype(np.int64), FOLDS, seed)
    return [part for part in parts if len(part)]


def _require_explored(decisions: LoggedDecisions, usable: Booleans) -> None:
    if not len(decisions):
        raise NotReadyError(
            "there are no recorded decisions to replay",
            detail="Only decisions made with record := true whose request vectors are kept count.",
            hint="Record decisions with exploration on, or widen time_range.",
        )
    explored = usable & (np.diff(decisions.starts) > 1) & ~decisions.is_rule
    if not explored.any():
        raise NotReadyError(
            "none of the recorded decisions was explored",
            detail=f"In all {len(decisions)} the agent was certain beforehand, so nothing is known "
            "of what another one would have led to.",
            hint="Switch exploration on: SELECT tiny_dancer.set('exploration_share', '0.1');",
        )


def _require_enough(measure: str, known: Matches) -> None:
    """Refuse to judge by too few decisions; ``known`` are those whose measure is."""
    outcomes, effective = len(known.weights), known.effective_sample_size
    if outcomes >= LEAST_DECISIONS and effective >= LEAST_EFFECTIVE:
        return
    raise NotReadyError(
        "too little was recorded to judge this policy by",
        detail=f"The {measure} of {outcomes} decisions is known, worth {effective:.1f} of "
        f"the policy's own; at least {LEAST_DECISIONS} and {LEAST_EFFECTIVE:.0f} are needed.",
        hint="Record outcomes, widen time_range, explore more, or replay a policy that is nearer "
        "to the recorded one.",
    )
