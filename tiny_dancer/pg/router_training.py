"""Entry point of training a router model."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError, NotReadyError, shown
from tiny_dancer.learning.judged_fit import JudgedFit
from tiny_dancer.learning.outcome_table import OutcomeTable
from tiny_dancer.learning.router_model import RouterModel
from tiny_dancer.learning.validation import Comparison, Metrics, compare, measure, rounded
from tiny_dancer.pg import judged_requests, router_models, store
from tiny_dancer.pg.judged_requests import Found
from tiny_dancer.pg.own_path import own_path
from tiny_dancer.pg.read_only import require_writable
from tiny_dancer.pg.router_models import JudgedModel
from tiny_dancer.predictors.automatic import AutomaticPredictor
from tiny_dancer.predictors.default_predictor import DEFAULT, NAMES, predictor_by_name
from tiny_dancer.predictors.predictor import QualityPredictor
from tiny_dancer.training.progress import Progress
from tiny_dancer.weights import DamagedWeightsError

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend

NOTICE_EVERY_SECONDS = 2.0
MOST_SEED = 2**31 - 1
TIMED_PREDICTIONS = 50

PRIORS = "SELECT id, quality_score FROM tiny_dancer.agents WHERE removed_at IS NULL"

MEASURED = (
    *("loss", "means_loss", "prior_loss", "brier", "calibration_error", "routed_quality"),
    *("best_single_quality", "random_quality", "length_quality", "oracle_quality"),
    *("apgr", "length_apgr"),
)


class Trained(NamedTuple):
    """A trained model, how it came about, and what was measured."""

    model: RouterModel
    fit: JudgedFit
    metrics: Metrics


class Verdict(NamedTuple):
    """Whether a model becomes the active one, and why."""

    activated: bool
    why: str


def train_router(
    backend: Backend,
    query: str | None,
    activate: bool | None,
    predictor: str | None,
    seed: int | None,
) -> tuple[Any, ...]:
    """Return the columns of ruvector_train_router."""
    require_writable(backend, "train a router")
    name, number = _checked_name(predictor), _checked_seed(seed)
    unfitted = predictor_by_name(name, number)
    rows = None if query is None else judged_requests.read(backend, query)
    with own_path(backend):
        return _train_on(backend, rows, unfitted, activate=activate, name=name, number=number)


def _train_on(
    backend: Backend,
    rows: Any,
    unfitted: QualityPredictor,
    *,
    activate: bool | None,
    name: str,
    number: int,
) -> tuple[Any, ...]:
    configuration = backend.snapshots.configuration()
    model_id = configuration.required_model.id
    if rows is None:
        found = judged_requests.from_outcomes(backend, configuration)
    else:
        found = judged_requests.from_rows(backend, configuration, rows)
    if found.left_out:
        backend.plpy.notice(
            f"{found.left_out} recorded outcomes have no request to learn from and are left out"
        )
    trained = _train(backend, unfitted, found, model_id)
    picked = _picked(trained.model.predictor)
    prediction_us = _prediction_us(trained.model.predictor)
    backend.plpy.notice(f"a prediction of predictor {name} takes {prediction_us:.0f} us")
    # From here on alone: what is compared with is what will be replaced.
    backend.rows(router_models.ONE_AT_A_TIME)
    _require_same_model(backend, model_id)
    verdict = _verdict(backend, trained, activate)
    why = verdict.why if picked is None else f"{picked}; {verdict.why}"
    described = {**trained.metrics, "why": why}
    identity = router_models.put_model(
        backend,
        trained.model,
        predictor=name,
        seed=number,
        prediction_us=prediction_us,
        metrics=described,
        fit=trained.fit,
    )
    if verdict.activated:
        router_models.switch_to(backend, identity)
    return (
        identity,
        name,
        len(trained.model.agent_ids),
        int(trained.model.outcomes.sum()),
        len(trained.fit.training_rows),
        len(trained.fit.held_back_rows),
        *(trained.metrics.get(measured) for measured in MEASURED),
        verdict.activated,
        why,
    )


def _require_same_model(backend: Backend, model_id: int) -> None:
    """Refuse a model that was trained on other vectors than those of today.

    Raises:
        NotReadyError: the embedding model was switched meanwhile.
    """
    active = store.active_model(backend)
    if active is None or active.id != model_id:
        raise NotReadyError(
            "the embedding model changed while the router was trained", hint="Train it again."
        )


def _checked_name(predictor: str | None) -> str:
    if predictor is None:
        return DEFAULT
    if predictor not in NAMES:
        raise InvalidArgumentError(
            f"unknown predictor {shown(predictor)}", hint=f"Use one of: {', '.join(NAMES)}."
        )
    return predictor


def _checked_seed(seed: int | None) -> int:
    if seed is None or not 0 <= seed <= MOST_SEED:
        raise InvalidArgumentError(
            f"seed is {'NULL' if seed is None else seed}",
            hint="Give a whole number of at least 0.",
        )
    return seed


def _train(backend: Backend, unfitted: QualityPredictor, found: Found, model_id: int) -> Trained:
    backend.allow_cancel()
    fit = JudgedFit.of(
        unfitted,
        found.table,
        _reporter(backend, "training the router"),
        _reporter(backend, "learning from the requests held back, too"),
    )
    model = RouterModel.trained_on(
        fit.serving, fit.table, model_id=model_id, last_usage_id=found.last_usage_id
    )
    priors = _priors(backend, fit.table)
    metrics = rounded(measure(fit.predictions, fit.held_back, fit.training, priors))
    # What training took is not needed again, and a connection may live for days.
    return Trained(model, fit, metrics)


def _reporter(backend: Backend, what: str) -> Progress:
    progress = backend.progress(NOTICE_EVERY_SECONDS)

    def report(done: int, of: int, loss: float) -> None:
        known = "" if np.isnan(loss) else f", loss {loss:.4f}"
        progress(f"{what}: {100.0 * done / max(of, 1):.0f} %{known}")

    return report


def _priors(backend: Backend, table: OutcomeTable) -> NDArray[np.float64]:
    """Return the registered quality of each agent, NaN where unknown."""
    known = {row["id"]: row["quality_score"] for row in backend.rows(PRIORS)}
    priors = [known.get(agent_id) for agent_id in table.agent_ids]
    return np.array([np.nan if prior is None else prior for prior in priors])


def _picked(predictor: QualityPredictor) -> str | None:
    """Return what ``auto`` picked and by how much, None for any other predictor."""
    if not isinstance(predictor, AutomaticPredictor):
        return None
    if predictor.choice_ is None:
        return "picked means, for there are too few requests to choose by"
    return predictor.choice_.sentence()


def _prediction_us(predictor: QualityPredictor) -> float:
    """Time a prediction, microseconds."""
    vector = np.full(predictor.embedding_dim_, predictor.embedding_dim_**-0.5, dtype=np.float32)
    words = np.zeros(predictor.lexical_dim_, dtype=np.float32)
    predictor.predict(vector, words)
    times = []
    for _ in range(TIMED_PREDICTIONS):
        start = time.perf_counter()
        predictor.predict(vector, words)
        times.append(time.perf_counter() - start)
    return round(float(np.median(times)) * 1e6, 1)


def _verdict(backend: Backend, trained: Trained, activate: bool | None) -> Verdict:
    """Decide whether the model becomes the active one."""
    if activate is not None:
        return Verdict(activate, "activated as asked" if activate else "left inactive as asked")
    active = router_models.active_id(backend)
    if active is None:
        return Verdict(True, "activated, as no other model was active")
    try:
        other = router_models.judged_model(backend, active)
    except (DamagedWeightsError, NotReadyError) as error:
        return Verdict(True, f"activated, as {error.message}")
    compared = _compare(trained.fit, other)
    if compared is None:
        return Verdict(
            True, f"activated, as no outcome held back is of a request new to model {active}"
        )
    better = compared.loss < compared.other_loss
    unseen = (
        "1 request that neither had"
        if compared.requests == 1
        else (f"{compared.requests} requests that neither had")
    )
    return Verdict(
        better,
        f"{'activated' if better else 'left inactive'}: on {unseen} seen when it was judged, "
        f"the loss is {compared.loss:.4f}, and {compared.other_loss:.4f} with model {active}",
    )


def _compare(fit: JudgedFit, other: JudgedModel) -> Comparison | None:
    """Compare with the active model, both as they were judged, on requests new to both."""
    table, rows = fit.table, fit.held_back_rows
    model = other.model
    unseen = ~np.isin(table.keys[rows], other.training_keys)
    ours = [place for place, agent in enumerate(table.agent_ids) if agent in model.agent_ids]
    theirs = [model.agent_ids.index(table.agent_ids[place]) for place in ours]
    if not unseen.any() or not ours:
        return None
    asked = table.observations.rows(rows[unseen])
    if model.predictor.lexical_dim_ > asked.lexical.shape[1]:
        # The other one goes by the wording too, which is not known of these.
        return None
    return compare(
        fit.predictions[unseen][:, ours],
        model.predict_batch(asked.embeddings, asked.lexical)[:, theirs],
        asked.targets[:, ours],
        asked.mask[:, ours],
    )
