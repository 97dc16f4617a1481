import json

import numpy as np
import pytest

from tiny_dancer.embedding.hashing import HashingProvider
from tiny_dancer.errors import InvalidArgumentError, MissingFileError
from tiny_dancer.evaluation.agent_prices import costs_by_request, read_prices
from tiny_dancer.evaluation.benchmark_file import Benchmark
from tiny_dancer.evaluation.comparison_report import comparison_picture, comparison_table
from tiny_dancer.evaluation.router_comparison import (
    BASELINES,
    Prices,
    Requests,
    foresight,
    judge,
    oracle_point,
    out_of_fold_predictions,
)
from tiny_dancer.lexical_features import lexical_matrix
from tiny_dancer.predictors.ridge_heads import RidgeHeads


def made_up(rows=120, seed=0):
    """Sums and poems; the cheap agent does sums as well as the dear one, and no poems."""
    generator = np.random.default_rng(seed)
    poem = generator.random(rows) < 0.5
    words = (("sum", "number", "count"), ("poem", "story", "song"))
    prompts = [f"{' '.join(generator.choice(words[int(p)], 5))} {i}" for i, p in enumerate(poem)]
    chance = np.where(poem[:, None], [0.1, 0.9], [0.8, 0.8])
    quality = (generator.random((rows, 2)) < chance).astype(np.float64)
    benchmark = Benchmark(prompts, ["cheap", "dear"], quality, np.ones((rows, 2), bool), None, None)
    return Requests(benchmark, HashingProvider().embed_batch(prompts), lexical_matrix(prompts))


def one_for_the_dear(requests):
    costs = np.tile([0.0, 1.0], (len(requests.benchmark.prompts), 1))
    return Prices(costs, "share of requests sent to dear")


class Spy(RidgeHeads):
    """Refuses to predict what it learned from."""

    kind = "spy"

    def learn(self, observations, progress=None):
        self.seen = {row.tobytes() for row in observations.embeddings}
        return super().learn(observations)

    def predict_batch(self, embeddings, lexical):
        assert not self.seen & {row.tobytes() for row in np.asarray(embeddings)}
        return super().predict_batch(embeddings, lexical)


def test_no_router_is_judged_on_what_it_learned_from():
    requests = made_up()
    predictions = out_of_fold_predictions(requests, {"spy": lambda s: Spy()}, seeds=2, parts=3)
    assert set(predictions) == {*BASELINES, "spy"}
    for by_seed in predictions.values():
        assert len(by_seed) == 2
        assert all(np.isfinite(p).all() and p.shape == (120, 2) for p in by_seed)


def test_a_router_that_learned_beats_chance_and_stays_below_the_oracle():
    requests = made_up()
    predictions = out_of_fold_predictions(
        requests, {"ridge": lambda s: RidgeHeads()}, seeds=1, parts=3
    )
    quality, prices = requests.benchmark.quality, one_for_the_dear(requests)
    judged = {n: judge(p, quality, prices, (0, 1)) for n, p in predictions.items()}
    ours, chance = judged["ridge"], judged["random"]
    assert ours.gap[0].low > 0.55
    assert ours.gap[0].estimate > chance.gap[0].estimate
    assert ours.gap[1].estimate < ours.gap[2].estimate, "half is reached before four fifths"
    assert ours.aiq.estimate > chance.aiq.estimate
    assert ours.accuracy.low <= ours.accuracy.estimate <= ours.accuracy.high
    cost, best = oracle_point(quality, prices)
    assert ours.accuracy.estimate < best
    assert 0.0 < cost < 1.0


def test_curves_start_at_the_cheapest_agent_within_their_bands():
    requests = made_up()
    quality, prices = requests.benchmark.quality, one_for_the_dear(requests)
    judged = judge([quality], quality, prices, None)
    np.testing.assert_allclose(judged.curve[0], [0.0, quality[:, 0].mean()])
    np.testing.assert_allclose(judged.curve[-1, 1], quality.max(axis=1).mean())
    assert (judged.band[:, 0] <= judged.curve[:, 1]).all()
    assert (judged.curve[:, 1] <= judged.band[:, 1]).all()


def test_table_and_picture_hold_every_router():
    requests = made_up(rows=60)
    quality, prices = requests.benchmark.quality, one_for_the_dear(requests)
    predictions = out_of_fold_predictions(
        requests, {"ridge": lambda s: RidgeHeads()}, seeds=1, parts=2
    )
    judged = {n: judge(p, quality, prices, (0, 1)) for n, p in predictions.items()}
    table = comparison_table(judged, quality)
    assert [row[0] for row in table[1:]] == [*BASELINES, "ridge", "oracle"]
    assert {len(row) for row in table} == {6}
    picture = comparison_picture("t", judged, requests.benchmark, quality, prices)
    assert set(picture.bands) == {"ridge"}
    assert set(picture.singles) == {"cheap", "dear"}
    picture.to_html()


def test_outcomes_of_some_agents_only_can_still_be_foreseen():
    requests = made_up()
    benchmark = requests.benchmark
    mask = np.eye(2, dtype=bool)[np.arange(120) % 2]
    sparse = Requests(
        Benchmark(benchmark.prompts, benchmark.agents, benchmark.quality * mask, mask, None, None),
        requests.embeddings,
        requests.lexical,
    )
    assert len(sparse.complete()) == 0
    predictions = out_of_fold_predictions(
        sparse, {"ridge": lambda s: RidgeHeads()}, seeds=1, parts=3
    )
    foreseen = foresight(predictions["ridge"], sparse.benchmark)
    assert foreseen.loss < 0.69, "that of a coin"
    assert 0.0 < foreseen.calibration.brier < 0.25


def test_too_few_requests_to_hold_any_back():
    with pytest.raises(InvalidArgumentError, match="cannot be dealt into 5 parts"):
        out_of_fold_predictions(made_up(rows=3), {}, seeds=1, parts=5)


def test_prices_of_tokens_become_costs_of_requests(tmp_path):
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"a": {"input_per_1m": 1.0, "output_per_1m": 2.0}}))
    costs = costs_by_request(["x" * 400, ""], ["a"], read_prices(path), 50.0)
    np.testing.assert_allclose(costs, [[100e-6 + 100e-6], [100e-6]])
    with pytest.raises(InvalidArgumentError, match="no price of b"):
        costs_by_request([""], ["a", "b"], read_prices(path), 50.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "no JSON object"),
        ("{", "no JSON"),
        ('{"a": 3}', "the prices of a are 3"),
        ('{"a": {"input_per_1m": -1, "output_per_1m": 0}}', "not numbers from 0 on"),
    ],
)
def test_files_of_prices_that_make_no_sense(tmp_path, content, message):
    path = tmp_path / "prices.json"
    path.write_text(content)
    with pytest.raises(InvalidArgumentError, match=message):
        read_prices(path)
    with pytest.raises(MissingFileError, match="cannot be read"):
        read_prices(tmp_path / "none.json")
