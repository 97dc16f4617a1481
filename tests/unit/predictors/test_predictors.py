import copy
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from made_up_outcomes import made_up_outcomes

from tiny_dancer.errors import InvalidArgumentError, NotReadyError
from tiny_dancer.predictors.agent_means import AgentMeans
from tiny_dancer.predictors.automatic import AutomaticPredictor
from tiny_dancer.predictors.cluster_table import ClusterTable
from tiny_dancer.predictors.default_predictor import NAMES, predictor_by_name
from tiny_dancer.predictors.fastgrnn_heads import FastGRNNHeads
from tiny_dancer.predictors.kernel_heads import KernelHeads
from tiny_dancer.predictors.logistic_heads import LogisticHeads
from tiny_dancer.predictors.mean_of_predictors import MeanOfPredictors
from tiny_dancer.predictors.mlp_heads import MLPHeads
from tiny_dancer.predictors.nearest_requests import NearestRequests
from tiny_dancer.predictors.predictor import QualityPredictor
from tiny_dancer.predictors.ridge_heads import RidgeHeads
from tiny_dancer.weights import DamagedWeightsError


def small_kernel():
    return KernelHeads(landmarks=40, sharpness=(1.0, 4.0), lexical_scales=(0.1,))


def small_fastgrnn():
    return FastGRNNHeads(hidden_dim=8, seeds=2)


MAKERS = {
    "means": AgentMeans,
    "ridge": RidgeHeads,
    "logistic": LogisticHeads,
    "kernel": small_kernel,
    "nearest": lambda: NearestRequests(k=20),
    "clusters": lambda: ClusterTable(clusters=6),
    "fastgrnn": small_fastgrnn,
    "tied fastgrnn": lambda: FastGRNNHeads(hidden_dim=8, seeds=2, tied=True),
    "mlp": lambda: MLPHeads(hidden_dim=8, seeds=2),
    "mean": lambda: MeanOfPredictors((small_kernel(), small_fastgrnn()), folds=2),
    "mean on components": lambda: MeanOfPredictors(
        (
            FastGRNNHeads(hidden_dim=8, seeds=2, tied=True),
            LogisticHeads(),
            ClusterTable(clusters=6),
        ),
        folds=2,
        reduced=True,
    ),
    "auto": lambda: AutomaticPredictor((RidgeHeads(), ClusterTable(clusters=6)), folds=2),
}
LEARNERS = [name for name in MAKERS if name != "means"]


@pytest.fixture(autouse=True)
def few_components(monkeypatch):
    """Half of the twelve dimensions of the made-up requests."""
    monkeypatch.setattr("tiny_dancer.predictors.principal_components._LEAST_COMPONENTS", 6)


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


@pytest.mark.parametrize("name", LEARNERS)
def test_learns_which_agent_suits_which_request(name):
    embeddings, lexical, targets, _ = made_up_outcomes()
    fresh, words, _, kinds = made_up_outcomes(seed=1)
    predictor = MAKERS[name]().fit(embeddings, lexical, targets)
    chosen = predictor.predict_batch(fresh, words).argmax(axis=1)
    assert (chosen == kinds).mean() > 0.8


def test_one_request_is_predicted_as_in_a_batch(make):
    embeddings, lexical, targets, _ = made_up_outcomes()
    predictor = make().fit(embeddings, lexical, targets)
    batch = predictor.predict_batch(embeddings[:5], lexical[:5])
    single = [predictor.predict(e, w) for e, w in zip(embeddings[:5], lexical[:5], strict=True)]
    np.testing.assert_allclose(single, batch, atol=2e-5)
    assert batch.dtype == np.float64
    assert ((batch > 0.0) & (batch < 1.0)).all()


def test_log_odds_are_those_of_the_prediction(make):
    embeddings, lexical, targets, _ = made_up_outcomes()
    predictor = make().fit(embeddings, lexical, targets)
    vector, words = embeddings[0].astype(np.float32), lexical[0].astype(np.float32)
    odds = predictor.log_odds_checked(vector, words)
    assert odds.dtype in (np.float32, np.float64)
    predicted = predictor.predict_checked(vector, words)
    np.testing.assert_allclose(1.0 / (1.0 + np.exp(-odds)), predicted, atol=1e-6)
    batch = predictor.log_odds_checked_batch(vector[None], words[None])
    np.testing.assert_allclose(batch, odds[None], atol=1e-4)
    # Whoever asked may change them.
    odds += 1.0
    np.testing.assert_array_equal(predictor.predict_checked(vector, words), predicted)


def test_fitted_anew_it_forgets_what_it_predicted(make):
    embeddings, lexical, targets, _ = made_up_outcomes(rows=80)
    vector, words = embeddings[0].astype(np.float32), lexical[0].astype(np.float32)
    predictor = make().fit(embeddings, lexical, targets)
    before = predictor.predict_checked(vector, words)
    after = predictor.fit(embeddings, lexical, 1.0 - targets).predict_checked(vector, words)
    expected = make().fit(embeddings, lexical, 1.0 - targets).predict_checked(vector, words)
    np.testing.assert_array_equal(after, expected)
    assert not np.allclose(after, before)


def test_threads_do_not_write_into_one_anothers_arrays(make):
    embeddings, lexical, targets, _ = made_up_outcomes(rows=80)
    predictor = make().fit(embeddings, lexical, targets)
    requests = list(zip(embeddings.astype(np.float32), lexical.astype(np.float32), strict=True))
    alone = [predictor.predict_checked(*request) for request in requests]
    often = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda r: predictor.predict_checked(*r), requests * 5))
    finally:
        sys.setswitchinterval(often)
    np.testing.assert_array_equal(found, alone * 5)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))]
)
def test_a_copy_predicts_on_arrays_of_its_own(make, copied):
    embeddings, lexical, targets, _ = made_up_outcomes(rows=80)
    vectors, words = embeddings.astype(np.float32), lexical.astype(np.float32)
    predictor = make().fit(embeddings, lexical, targets)
    before = predictor.predict_checked(vectors[0], words[0])
    twin = copied(predictor)
    np.testing.assert_array_equal(
        twin.predict_checked(vectors[1], words[1]), predictor.predict_checked(vectors[1], words[1])
    )
    np.testing.assert_array_equal(predictor.predict_checked(vectors[0], words[0]), before)


def test_same_rows_and_seed_give_the_same_bytes(make):
    embeddings, lexical, targets, _ = made_up_outcomes(rows=80)
    first = make().fit(embeddings, lexical, targets).to_blob()
    assert make().fit(embeddings, lexical, targets).to_blob() == first


def test_bytes_read_back_predict_the_same(make):
    embeddings, lexical, targets, _ = made_up_outcomes(rows=80)
    predictor = make().fit(embeddings, lexical, targets)
    again = QualityPredictor.from_blob(predictor.to_blob())
    assert type(again) is type(predictor)
    np.testing.assert_allclose(
        again.predict_batch(embeddings, lexical),
        predictor.predict_batch(embeddings, lexical),
        atol=1e-6,
    )


def test_changed_bytes_are_refused_by_name(make):
    embeddings, lexical, targets, _ = made_up_outcomes(rows=40)
    blob = bytearray(make().fit(embeddings, lexical, targets).to_blob())
    blob[-1] ^= 1
    with pytest.raises(DamagedWeightsError, match="router model 7"):
        QualityPredictor.from_blob(bytes(blob), where="router model 7")


def test_where_an_agent_was_not_tried_the_target_plays_no_part(make):
    embeddings, lexical, targets, _ = made_up_outcomes(rows=80)
    mask = np.random.default_rng(3).random(targets.shape) < 0.6
    wild = np.where(mask, targets, np.nan)
    first = make().fit(embeddings, lexical, targets, mask).predict_batch(embeddings, lexical)
    second = make().fit(embeddings, lexical, wild, mask).predict_batch(embeddings, lexical)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("quality", [0.0, 1.0, 0.5])
def test_constant_outcomes_give_that_constant(make, quality):
    embeddings, lexical, targets, _ = made_up_outcomes(rows=60)
    predictor = make().fit(embeddings, lexical, np.full_like(targets, quality))
    predicted = predictor.predict_batch(embeddings, lexical)
    assert np.abs(predicted - quality).max() < 0.15


def test_five_rows_give_finite_probabilities(make):
    embeddings, lexical, targets, _ = made_up_outcomes(rows=5)
    predicted = make().fit(embeddings, lexical, targets).predict_batch(embeddings, lexical)
    assert np.isfinite(predicted).all()
    assert ((predicted > 0.0) & (predicted < 1.0)).all()


def test_one_row_and_one_agent_are_enough(make):
    embeddings, lexical, targets, _ = made_up_outcomes(rows=1, agents=1)
    predicted = make().fit(embeddings, lexical, targets).predict_batch(embeddings, lexical)
    assert predicted.shape == (1, 1)
    assert np.isfinite(predicted).all()


def test_the_same_request_over_and_over(make):
    embeddings, lexical, targets, _ = made_up_outcomes(rows=40)
    same = np.repeat(embeddings[:1], 40, axis=0), np.repeat(lexical[:1], 40, axis=0)
    predicted = make().fit(*same, targets).predict(embeddings[0], lexical[0])
    assert np.abs(predicted - targets.mean(axis=0)).max() < 0.15


def test_without_lexical_features(make):
    embeddings, lexical, targets, _ = made_up_outcomes(rows=40)
    predictor = make().fit(embeddings, lexical[:, :0], targets)
    assert predictor.predict(embeddings[0], lexical[0, :0]).shape == (3,)


def test_an_agent_that_was_never_tried_is_expected_to_be_average():
    embeddings, lexical, targets, _ = made_up_outcomes()
    mask = np.ones(targets.shape, bool)
    mask[:, 2] = False
    predictor = RidgeHeads().fit(embeddings, lexical, targets, mask)
    unseen = predictor.predict_batch(embeddings, lexical)[:, 2]
    np.testing.assert_allclose(unseen, targets[:, :2].mean(), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e, w, t: (e * np.nan, w, t), "embeddings holds nan at row 0, column 0"),
        (lambda e, w, t: (e, w * np.inf, t), "lexical holds"),
        (lambda e, w, t: (e, w, t * np.nan), "targets holds nan"),
        (lambda e, w, t: (e, w, t + 1.5), "between 0 and 1"),
        (lambda e, w, t: (e[:0], w[:0], t[:0]), "no rows"),
        (lambda e, w, t: (e, w, t[:, :0]), "no columns"),
        (lambda e, w, t: (e, w[:3], t), "lexical has 3 rows"),
        (lambda e, w, t: (e[0], w, t), "not \\[n, columns\\]"),
    ],
)
def test_rows_that_cannot_be_learned_from(change, message):
    embeddings, lexical, targets, _ = made_up_outcomes(rows=10)
    with pytest.raises(InvalidArgumentError, match=message):
        RidgeHeads().fit(*change(embeddings, lexical, targets))


def test_nothing_observed():
    embeddings, lexical, targets, _ = made_up_outcomes(rows=10)
    with pytest.raises(InvalidArgumentError, match="no observed outcome"):
        RidgeHeads().fit(embeddings, lexical, targets, np.zeros(targets.shape, bool))


def test_requests_of_another_shape_or_not_finite_are_refused():
    embeddings, lexical, targets, _ = made_up_outcomes(rows=10)
    predictor = RidgeHeads().fit(embeddings, lexical, targets)
    with pytest.raises(InvalidArgumentError, match=r"embedding has shape \(5,\)"):
        predictor.predict(embeddings[0, :5], lexical[0])
    with pytest.raises(InvalidArgumentError, match="not finite"):
        predictor.predict(embeddings[0] * np.nan, lexical[0])
    with pytest.raises(NotReadyError):
        RidgeHeads().predict(embeddings[0], lexical[0])


@pytest.mark.parametrize("name", LEARNERS)
def test_an_exception_in_progress_cancels(name):
    class CancelledError(Exception):
        pass

    def cancel(done, of, loss):
        raise CancelledError

    embeddings, lexical, targets, _ = made_up_outcomes(rows=60)
    with pytest.raises(CancelledError):
        MAKERS[name]().fit(embeddings, lexical, targets, progress=cancel)


def test_auto_says_what_it_picked_and_by_how_much():
    embeddings, lexical, targets, _ = made_up_outcomes()
    choice = MAKERS["auto"]().fit(embeddings, lexical, targets).choice_
    assert choice.kind in ("ridge", "clusters")
    assert choice.losses["means"] > choice.loss + 0.05
    assert choice.lead == pytest.approx(choice.losses[choice.runner_up] - choice.loss)
    assert choice.kind in choice.sentence()


def test_auto_falls_back_to_the_means_where_requests_say_nothing():
    embeddings, lexical, targets, _ = made_up_outcomes(rows=300)
    shuffled = np.random.default_rng(5).permutation(targets)
    auto = AutomaticPredictor((ClusterTable(clusters=40, prior_weight=0.1),), folds=3)
    assert auto.fit(embeddings, lexical, shuffled).choice_.kind == "means"


def test_names():
    for name in NAMES:
        assert isinstance(predictor_by_name(name), QualityPredictor)
    with pytest.raises(InvalidArgumentError, match="'forest'"):
        predictor_by_name("forest")
