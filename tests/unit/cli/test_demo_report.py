"""What the demo says of decisions is true of their numbers, also where some are unknown."""

import dataclasses

import pytest

from tiny_dancer.cli import demo_report
from tiny_dancer.cli.demo_comparison import compare, most_constrained, shares, total
from tiny_dancer.cli.demo_reasons import short_reason
from tiny_dancer.cli.demo_routing import Decision, RegisteredAgent, RoutedRequest, Run, Standing


def standing(name, rank=None, removed_by=(), cost=0.01, latency=1000.0, quality=0.9):
    return Standing(name, rank, list(removed_by), 0.5, 0.2, quality, quality, cost, latency)


def routed(*standings, request="Write a letter", **call):
    chosen = next((s for s in standings if s.rank == 1), None)
    decision = chosen and Decision(
        chosen.agent_name,
        chosen.estimated_cost,
        chosen.estimated_latency_ms,
        chosen.expected_quality,
        f"{chosen.agent_name} ranks first.",
    )
    refusal = None if decision else "Of 2 agents: max_cost removed 2."
    return RoutedRequest({"request": request, **call}, decision, refusal, list(standings))


@pytest.mark.parametrize(
    ("optimize_for", "first", "second", "reason"),
    [
        ("cost", {"cost": 0.001}, {}, "cheapest of 2"),
        ("cost", {"cost": 0.01}, {"cost": 0.01}, "best cost x match of 2"),
        ("cost", {"cost": None}, {"cost": 0.01}, "best cost x match of 2"),
        ("latency", {"latency": 10.0}, {"latency": None}, "fastest of 2"),
        ("quality", {"quality": 0.95}, {}, "best quality of 2"),
        ("balanced", {"quality": 0.95}, {}, "best balance of 2"),
        ("balanced", {"quality": 0.95, "cost": 0.001}, {}, "cheapest, best of 2"),
        ("quality_per_dollar", {"cost": 0.001}, {}, "best quality/$ of 2"),
        ("cost", {"cost": 0.0, "latency": 1.0, "quality": 0.99}, {}, "first in everything"),
    ],
)
def test_the_reason_names_only_what_the_agent_is_first_in(optimize_for, first, second, reason):
    request = routed(
        standing("b", 2, **second), standing("a", 1, **first), optimize_for=optimize_for
    )
    assert short_reason(request) == reason


@pytest.mark.parametrize(
    ("removed_by", "reason"),
    [
        ([], "the only agent"),
        ([["required_capabilities"]], "only one that can"),
        ([["required_capabilities", "max_cost"]], "only one that can"),
        ([["required_capabilities"], ["max_cost"]], "only one cheap enough"),
        ([["min_quality"], ["quality_floor"]], "only one good enough"),
        ([["a_new_one"]], "only one a_new_one"),
    ],
)
def test_the_reason_of_a_single_candidate_is_what_removed_the_others(removed_by, reason):
    others = [standing(f"other-{i}", None, by) for i, by in enumerate(removed_by)]
    assert short_reason(routed(standing("a", 1), *others)) == reason


def run(*requests, models=("big", "small"), people=()):
    agents = [RegisteredAgent(name, "llm", 0.9 - i / 10) for i, name in enumerate(models)]
    agents += [RegisteredAgent(name, "human", 0.99) for name in people]
    return Run("demo", agents, list(requests), 0.1, 256)


def test_fixed_choices_are_compared_over_what_the_best_model_may_take():
    taken = routed(
        standing("small", 1, cost=0.001, quality=0.7), standing("big", 2, cost=0.1, quality=0.9)
    )
    limited = routed(
        standing("big", 1, cost=0.2, quality=0.8),
        standing("small", None, ["min_quality"], cost=0.002, quality=0.6),
    )
    ruled_out = routed(
        standing("person", 1, cost=5.0),
        standing("big", None, ["max_latency_ms"]),
        standing("small", 2),
    )
    refused = routed(standing("big", None, ["max_cost"]), standing("small", None, ["max_cost"]))
    comparison = compare(run(taken, limited, ruled_out, refused, people=("person",)))
    assert comparison.compared == [taken, limited]
    assert comparison.ruled_out == [ruled_out]
    assert comparison.routed.cost == pytest.approx(0.201)
    assert comparison.routed.quality == pytest.approx(0.75)
    assert (comparison.best.name, comparison.best.cost) == ("big", pytest.approx(0.3))
    assert (comparison.cheapest.name, comparison.cheapest.cost) == ("small", pytest.approx(0.003))
    assert [c.broken for c in (comparison.routed, comparison.best, comparison.cheapest)] == [
        0,
        0,
        1,
    ]


def test_there_is_no_comparison_without_models_or_requests():
    request = routed(standing("tool", 1))
    assert compare(run(request, models=())) is None
    assert compare(run()) is None


def test_an_unknown_price_makes_a_sum_unknown():
    assert total([0.5, 0.25]) == 0.75
    assert total([0.5, None]) is None
    (share,) = shares([routed(standing("a", 1, cost=None))])
    assert (share.requests, share.cost) == (1, None)


def test_the_decision_in_full_is_a_contested_one():
    single = routed(standing("a", 1), standing("b", None, ["max_cost", "min_quality"]))
    contested = routed(standing("a", 1), standing("b", 2), standing("c", None, ["max_cost"]))
    assert most_constrained([single, contested]) is contested
    assert most_constrained([single]) is None


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (0.4, "0 ms"),
        (999.0, "999 ms"),
        (1000.0, "1 s"),
        (2200.0, "2.2 s"),
        (14000.0, "14 s"),
        (90_000.0, "1.5 min"),
        (14_400_000.0, "4 h"),
        (720_000_000.0, "200 h"),
        (None, "unknown"),
    ],
)
def test_durations(milliseconds, shown):
    assert demo_report.duration(milliseconds) == shown


@pytest.mark.parametrize(
    ("amount", "shown", "aligned"),
    [
        (0.0, "$0.00", "  0.00   "),
        (90.0, "$90.00", " 90.00   "),
        (1234.5, "$1,234.50", "1234.50   "),
        (0.0641, "$0.064", "  0.06410"),
        (0.0000181, "$0.000018", "  0.00002"),
        (None, "unknown", "  unknown"),
    ],
)
def test_amounts(amount, shown, aligned):
    assert demo_report.dollars(amount) == shown
    assert demo_report.aligned_dollars(amount) == aligned


def test_a_report_of_refusals_alone_still_is_one():
    refused = routed(standing("big", None, ["max_cost"]), request="x" * 200)
    lines = list(demo_report.report(run(refused), in_colour=False))
    assert any("no agent fits (TD001)" in line for line in lines)
    assert max(map(len, lines)) <= demo_report.WIDTH


def test_colours_change_nothing_but_colours():
    request = routed(standing("big", 1), standing("small", 2))
    plain = list(demo_report.report(run(request), in_colour=False))
    coloured = list(demo_report.report(run(request), in_colour=True))
    assert coloured != plain
    assert [without_codes(line) for line in coloured] == plain


def without_codes(line):
    for code in ("\033[0m", "\033[1m", "\033[2m", "\033[33m", "\033[36m"):
        line = line.replace(code, "")
    return line


def test_a_routed_request_knows_its_target():
    request = routed(standing("a", 1))
    assert request.optimize_for == "balanced"
    other = dataclasses.replace(request, call={"request": "x", "optimize_for": "cost"})
    assert other.optimize_for == "cost"
