"""The cost–quality picture of routers: curves, single agents and the oracle.

The HTML holds its drawing as SVG and needs nothing else. The PNG needs matplotlib, an extra.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError, MissingFileError

Floats = NDArray[np.float64]

_COLOURS = ("#1b6ca8", "#c8553d", "#588157", "#7b4b94", "#b08900", "#3d5a80")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 760, 460, 70, 60, 50, 210


@dataclass(frozen=True, slots=True)
class CostQualityPicture:
    """What is drawn; points are (mean cost per request in dollars, mean quality).

    Attributes:
        title: above it.
        curves: points of each router, [m, 2], by name.
        singles: the point of each single agent, by name.
        oracle: the point of the best agent per request; None to leave it out.
        table: shown below in the HTML, as rows of cells with a header first.
    """

    title: str
    curves: Mapping[str, Floats]
    singles: Mapping[str, tuple[float, float]]
    oracle: tuple[float, float] | None = None
    table: list[list[str]] = field(default_factory=list)

    def to_svg(self) -> str:
        """Draw it.

        Raises:
            InvalidArgumentError: there is nothing to draw, or a point is not finite.
        """
        scale = _Scale(self._points())
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            'font-family="sans-serif" font-size="12" role="img">',
            f'<text x="{_LEFT}" y="24" font-size="16">{escape(self.title)}</text>',
            *scale.axes(),
        ]
        x = _WIDTH - _RIGHT + 20
        for number, (name, points) in enumerate(self.curves.items()):
            colour = _COLOURS[number % len(_COLOURS)]
            path = " ".join(f"{scale.x(c):.1f},{scale.y(q):.1f}" for c, q in points.tolist())
            y = _TOP + 12 + 18 * number
            parts += [
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
                f'<line x1="{x}" x2="{x + 18}" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" '
                'stroke-width="2"/>',
                f'<text x="{x + 24}" y="{y}">{escape(name)}</text>',
            ]
        for name, (cost, quality) in self.singles.items():
            at = f'x="{scale.x(cost) + 6:.1f}" y="{scale.y(quality) - 6:.1f}"'
            parts += [
                f'<circle cx="{scale.x(cost):.1f}" cy="{scale.y(quality):.1f}" r="4" fill="#555"/>',
                f'<text {at} fill="#555" font-size="10">{escape(name)}</text>',
            ]
        if self.oracle is not None:
            cx, cy = scale.x(self.oracle[0]), scale.y(self.oracle[1])
            parts += [
                f'<path d="M{cx:.1f} {cy - 7:.1f} l7 7 l-7 7 l-7 -7 z" fill="#d4a017"/>',
                f'<text x="{cx + 10:.1f}" y="{cy + 4:.1f}">oracle</text>',
            ]
        return "\n".join([*parts, "</svg>"])

    def to_html(self) -> str:
        """A page of its own, with the table."""
        rows = [
            "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
            for number, cells in enumerate(self.table)
            for tag in ("th" if number == 0 else "td",)
        ]
        table = "<table>" + "".join(rows) + "</table>" if rows else ""
        style = (
            "body{font-family:sans-serif;max-width:60em;margin:2em auto}"
            "td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}"
            "td:first-child,th:first-child{text-align:left}"
        )
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f"<title>{escape(self.title)}</title><style>{style}</style></head>\n"
            f"<body>\n{self.to_svg()}\n{table}\n</body></html>\n"
        )

    def write_png(self, path: Path) -> None:
        """Write it as PNG.

        Raises:
            MissingFileError: matplotlib is not installed.
        """
        self._points()
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise MissingFileError(
                'python package "matplotlib" is not installed for this python',
                hint="Install matplotlib, or write the picture as HTML.",
            ) from error
        figure = Figure(figsize=(8.0, 5.0), layout="constrained")
        axes = figure.add_subplot()
        for number, (name, points) in enumerate(self.curves.items()):
            colour = _COLOURS[number % len(_COLOURS)]
            axes.plot(points[:, 0], points[:, 1], label=name, color=colour)
        for name, point in self.singles.items():
            axes.plot(*point, "o", color="#555555", markersize=4)
            axes.annotate(name, point, fontsize=7, xytext=(4, 4), textcoords="offset points")
        if self.oracle is not None:
            axes.plot(*self.oracle, "D", color="#d4a017", label="oracle")
        axes.set_title(self.title)
        axes.set_xlabel("mean cost per request, dollars")
        axes.set_ylabel("mean quality")
        axes.legend(fontsize=8)
        figure.savefig(path, format="png", dpi=150)

    def _points(self) -> Floats:
        """All points, checked, [m, 2]."""
        points = [np.asarray(curve, dtype=np.float64) for curve in self.curves.values()]
        points += [np.array([single]) for single in self.singles.values()]
        points += [] if self.oracle is None else [np.array([self.oracle])]
        joined = np.concatenate(points) if points else np.empty((0, 2))
        if len(joined) == 0:
            raise InvalidArgumentError("there is nothing to draw")
        if not np.isfinite(joined).all():
            raise InvalidArgumentError("a point to draw is not finite")
        return joined


class _Scale:
    """From dollars and quality to the drawing."""

    def __init__(self, points: Floats) -> None:
        low, high = points.min(axis=0), points.max(axis=0)
        room = np.where(high > low, 0.06 * (high - low), 0.5 * np.abs(high) + 1e-9)
        self._low, self._high = low - room, high + room

    def x(self, cost: float) -> float:
        share = (cost - self._low[0]) / (self._high[0] - self._low[0])
        return float(_LEFT + share * (_WIDTH - _LEFT - _RIGHT))

    def y(self, quality: float) -> float:
        share = (quality - self._low[1]) / (self._high[1] - self._low[1])
        return float(_HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP))

    def axes(self) -> list[str]:
        """Frame, ticks and labels."""
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        drawn = [
            f'<path d="M{_LEFT} {_TOP} V{bottom} H{right}" fill="none" stroke="#333"/>',
            f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 16}" text-anchor="middle">'
            "mean cost per request, dollars</text>",
            f'<text x="18" y="{(_TOP + bottom) / 2}" text-anchor="middle" '
            f'transform="rotate(-90 18 {(_TOP + bottom) / 2})">mean quality</text>',
        ]
        for tick in range(5):
            cost, quality = self._low + (self._high - self._low) * (tick + 0.5) / 5.0
            drawn += [
                f'<text x="{self.x(cost):.1f}" y="{bottom + 16}" text-anchor="middle">'
                f"{cost:.3g}</text>",
                f'<text x="{_LEFT - 8}" y="{self.y(quality) + 4:.1f}" text-anchor="end">'
                f"{quality:.3f}</text>",
            ]
        return drawn
