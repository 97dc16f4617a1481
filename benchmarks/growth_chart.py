"""A chart of how something grows with the size of what it works on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Series(NamedTuple):
    """One line: its label, its points, and how it is drawn."""

    label: str
    sizes: Sequence[float]
    values: Sequence[float]
    style: str = "o-"
    colour: str = "#1f6f8b"


def draw_growth(path: Path, series: Sequence[Series], *, across: str, up: str) -> None:
    """Draw lines over sizes into a PNG, both axes logarithmic.

    Args:
        path: of the PNG.
        series: the lines.
        across: what the sizes are.
        up: what the values are.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for line in series:
        size = 18 if line.style == "_" else None
        look = {"color": line.colour, "label": line.label, "markersize": size}
        axes.plot(line.sizes, line.values, line.style, **look)
    axes.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
    axes.grid(which="major", alpha=0.3)
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
