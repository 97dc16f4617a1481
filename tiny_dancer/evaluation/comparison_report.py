"""A comparison of routers as a table, and as a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.evaluation.accuracy import oracle_quality
from tiny_dancer.evaluation.benchmark_file import Benchmark
from tiny_dancer.evaluation.bootstrap import bootstrap_all
from tiny_dancer.evaluation.cost_quality_picture import CostQualityPicture
from tiny_dancer.evaluation.results_table import with_interval
from tiny_dancer.evaluation.router_comparison import (
    BASELINES,
    DRAWS,
    SINGLE,
    Foresight,
    Judged,
    Prices,
    oracle_point,
)

Floats = NDArray[np.float64]

LEGEND = (
    "In brackets: 95 % by bootstrap over requests, means over the seeds. APGR: share of the gap "
    "between weak and strong agent recovered, over all shares of strong calls. CPT50, CPT80: "
    "per cent of strong calls that recover half, four fifths of it. AIQ: mean quality over the "
    "range of costs."
)


def comparison_table(judged: dict[str, Judged], quality: Floats) -> list[list[str]]:
    """Rows of cells, the header first.

    Args:
        judged: of each router.
        quality: of the requests judged on, [n, a].
    """
    paired = any(router.gap is not None for router in judged.values())
    priced = any(router.aiq is not None for router in judged.values())
    header = ["router", "accuracy %"]
    header += ["APGR", "CPT50 %", "CPT80 %"] if paired else []
    header += ["AIQ"] if priced else []
    table = [header]
    for name, router in judged.items():
        cells = [name, with_interval(router.accuracy, 100.0, 1)]
        if paired and (router.gap is None or name == SINGLE):
            # The best single agent ranks no request before another: what it would show is chance.
            cells += ["–"] * 3
        elif router.gap is not None:
            area, half, most = router.gap
            cells += [
                with_interval(area, 1.0, 3),
                with_interval(half, 100.0, 0),
                with_interval(most, 100.0, 0),
            ]
        if priced:
            cells.append("–" if router.aiq is None else with_interval(router.aiq, 1.0, 3))
        table.append(cells)
    _, oracle = oracle_point(quality, None)
    table.append(["oracle", f"{100.0 * oracle:.1f}", *["–"] * (len(header) - 2)])
    return table


def foresight_table(foreseen: dict[str, Foresight]) -> list[list[str]]:
    """How well each predictor foresaw outcomes, header first."""
    table = [["predictor", "loss", "Brier", "calibration error", "of it by chance"]]
    for name, of in foreseen.items():
        calibrated = of.calibration
        table.append(
            [
                name,
                f"{of.loss:.4f}",
                f"{calibrated.brier:.4f}",
                f"{calibrated.error:.4f}",
                f"{calibrated.chance:.4f}",
            ]
        )
    return table


def comparison_picture(
    title: str, judged: dict[str, Judged], benchmark: Benchmark, quality: Floats, prices: Prices
) -> CostQualityPicture:
    """Curves of the routers, the single agents and the oracle.

    Args:
        title: above the picture.
        judged: of each router, with curves.
        benchmark: names the agents.
        quality: of the requests judged on, [n, a].
        prices: of the same requests.
    """
    curves = {
        name: router.curve
        for name, router in judged.items()
        if router.curve is not None and name != SINGLE
    }
    # Of what the user asks about, not of what is there to be beaten: bands on bands hide all.
    bands = {
        name: router.band
        for name, router in judged.items()
        if router.band is not None and name not in BASELINES
    }
    costs, means = prices.costs.mean(axis=0), quality.mean(axis=0)
    # Of each agent, and of the best one per request.
    columns = np.column_stack((quality, oracle_quality(quality)))
    intervals = bootstrap_all(
        lambda rows: columns[rows].mean(axis=0).tolist(), np.arange(len(quality)), draws=DRAWS
    )
    *ranges, oracle_range = [(interval.low, interval.high) for interval in intervals]
    return CostQualityPicture(
        title,
        curves,
        {
            agent: (float(cost), float(mean))
            for agent, cost, mean in zip(benchmark.agents, costs, means, strict=True)
        },
        oracle_point(quality, prices),
        bands,
        dict(zip(benchmark.agents, ranges, strict=True)),
        oracle_range,
        tuple(name for name in curves if name in BASELINES),
        prices.label,
        comparison_table(judged, quality),
    )
