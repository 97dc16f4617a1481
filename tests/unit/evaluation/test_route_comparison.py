import dataclasses

import numpy as np
import pytest

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.evaluation.route_accuracy import NONE, totals
from tiny_dancer.evaluation.route_comparison import (
    FITTED,
    FREQUENT,
    NEAREST,
    WAYS,
    Parts,
    RouteExamples,
    compare_ways,
    comparison_table,
    deal,
    judged_figures,
)
from tiny_dancer.route_evidence import unit_rows

DIMENSION = 24
NAMES = [f"route {letter}" for letter in "abcdef"]


def examples(each=20, outside=60, spread=0.5):
    generator = np.random.default_rng(0)
    centres = unit_rows(generator.standard_normal((len(NAMES), DIMENSION)))
    owners = np.repeat(np.arange(len(NAMES)), each)
    around = 2.0 * spread * generator.standard_normal((len(owners), DIMENSION)) / DIMENSION**0.5
    inside = unit_rows(centres[owners] + around)
    anywhere = unit_rows(generator.standard_normal((outside, DIMENSION)))
    vectors = np.vstack([inside, anywhere]).astype(np.float32)
    wanted = np.concatenate([owners, np.full(outside, NONE)]).astype(np.intp)
    means = [inside[owners == route].mean(axis=0) for route in range(len(NAMES))]
    described = unit_rows(np.array(means)).astype(np.float32)
    return RouteExamples([""] * len(wanted), vectors, wanted, NAMES, NAMES, described)


def dealt(of, seeds=1, parts=3):
    texts = [f"request {number}" for number in range(len(of.wanted))]
    routes = [None if route == NONE else NAMES[route] for route in of.wanted]
    return deal(texts, routes, None, seeds=seeds, parts=parts)


@pytest.fixture(scope="module")
def judged():
    of = examples()
    return of, compare_ways(of, dealt(of, seeds=2))


def test_every_request_is_judged_once_for_each_seed_and_way(judged):
    of, found = judged
    assert tuple(found) == WAYS
    for by_seed in found.values():
        assert len(by_seed) == 2
        for judgements in by_seed:
            np.testing.assert_array_equal(judgements.wanted, of.wanted)


def test_a_fit_beats_the_nearest_and_both_the_most_frequent_route(judged):
    figures = {name: judged_figures(by_seed) for name, by_seed in judged[1].items()}
    accuracy = {name: of["accuracy"].estimate for name, of in figures.items()}
    assert accuracy[FREQUENT] < 0.3 < 0.8 < accuracy[FITTED]
    auroc = {name: of["out_of_scope_auroc"].estimate for name, of in figures.items()}
    assert auroc[FREQUENT] == 0.5
    assert auroc[FITTED] > 0.9
    assert auroc[NEAREST] > 0.8
    for of in figures.values():
        for interval in of.values():
            assert interval.low <= interval.estimate + 1e-9
            assert interval.estimate <= interval.high + 1e-9
    table = comparison_table(figures)
    assert [row[0] for row in table] == ["routes", *WAYS]
    assert len({len(row) for row in table}) == 1


def test_labels_that_have_nothing_to_do_with_the_texts_are_not_learned():
    of = examples(outside=0)
    shuffled = np.random.default_rng(0).permutation(of.wanted)
    mixed = dataclasses.replace(of, wanted=shuffled)
    for name, by_seed in compare_ways(mixed, dealt(mixed)).items():
        assert totals(by_seed[0])["accuracy_if_accepted_all"] < 0.35, name


def test_a_route_that_was_not_learned_of_is_wanted_and_never_found():
    of = examples(outside=10)
    unknown = of.wanted == 3
    parts = [Parts(0, np.flatnonzero(~unknown), np.flatnonzero(unknown))]
    for by_seed in compare_ways(of, parts).values():
        assert totals(by_seed[0])["accuracy_if_accepted_all"] == 0.0
        assert 3 not in by_seed[0].guesses


def test_equal_texts_are_not_parted():
    texts = ["Open  the door", "open the door", "a", "b", "c"]
    for part in deal(texts, ["x"] * 5, None, seeds=3, parts=2):
        assert len(np.intersect1d(part.judged, [0, 1])) != 1
        assert not set(part.judged) & set(part.learned)


def test_parts_as_given_and_parts_that_can_not_be():
    given = deal(["a", "b"], ["x", None], ([0], [1]), seeds=2, parts=5)
    assert [part.seed for part in given] == [0, 1]
    assert given[0].judged.tolist() == [1]
    with pytest.raises(InvalidArgumentError, match="2 distinct requests"):
        deal(["a", "b", "A"], ["x"] * 3, None, seeds=1, parts=3)


def test_nothing_in_scope_to_learn_from():
    of = examples()
    rows = np.flatnonzero(of.wanted == NONE)
    with pytest.raises(InvalidArgumentError, match="names a route"):
        compare_ways(of, [Parts(0, rows, rows)])


def test_what_the_vectors_do_not_tell_apart_the_wording_does():
    of = examples(outside=0)
    same = np.repeat(of.vectors[:1], len(of.wanted), axis=0)
    same += 0.1 * np.random.default_rng(1).standard_normal(same.shape).astype(np.float32)
    said = [f"please {'abcdef'[route] * 8} the thing" for route in of.wanted]
    spelled = dataclasses.replace(of, texts=said, vectors=unit_rows(same).astype(np.float32))
    found = {
        name: totals(by_seed[0]) for name, by_seed in compare_ways(spelled, dealt(spelled)).items()
    }
    assert found[NEAREST]["accuracy_if_accepted_all"] < 0.4
    assert found[FITTED]["accuracy_if_accepted_all"] > 0.9
