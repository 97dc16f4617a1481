"""The cost–quality picture of routers: curves with their intervals, single agents, the oracle.

The HTML holds its drawing as SVG and needs nothing else. The PNG needs matplotlib, an extra.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.evaluation.drawing import Area, Disc, Drawing, Line, Shape, Words
from tiny_dancer.evaluation.label_places import Box, label_boxes

Floats = NDArray[np.float64]

_COLOURS = ("#1b6ca8", "#c8553d", "#588157", "#7b4b94", "#b08900", "#3d5a80")
_BASELINE_COLOURS = ("#8a8a8a", "#b5a48b")
_GREY, _INK, _GRID, _GOLD = "#555555", "#222222", "#e6e6e6", "#d4a017"
_BAR = "#a8a8a8"
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 960.0, 560.0, 84.0, 66.0, 64.0, 200.0
_TICKS = 8
_COVER = 6.0
_WIDTH_OF = {False: 2.6, True: 1.6}
"""Of a curve, by whether it is dashed."""


@dataclass(frozen=True, slots=True)
class CostQualityPicture:
    """What is drawn; points are (mean cost per request, mean quality).

    Attributes:
        title: above it.
        curves: points of each router, [m, 2], by name.
        singles: the point of each single agent, by name.
        oracle: the point of the best agent per request; None to leave it out.
        bands: lowest and highest quality at each point of a curve, [m, 2], by the same names.
        ranges: lowest and highest quality of single agents, by name.
        oracle_range: the same of the oracle.
        baselines: names of curves that are there to be beaten; dashed and grey.
        cost_label: what the costs are.
        table: shown below in the HTML, as rows of cells with a header first.
    """

    title: str
    curves: Mapping[str, Floats]
    singles: Mapping[str, tuple[float, float]]
    oracle: tuple[float, float] | None = None
    bands: Mapping[str, Floats] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    oracle_range: tuple[float, float] | None = None
    baselines: tuple[str, ...] = ()
    cost_label: str = "mean cost per request, dollars"
    table: list[list[str]] = field(default_factory=list)

    def drawing(self) -> Drawing:
        """Put every shape in its place.

        Raises:
            InvalidArgumentError: there is nothing to draw, or a point is not finite.
        """
        scale = _Scale(self._points())
        shapes: list[Shape] = [
            Words((_LEFT, 34.0), self.title, size=18.0, bold=True),
            *scale.axes(self.cost_label),
        ]
        for name, band in self.bands.items():
            curve = self.curves[name]
            low = [scale.at(c, q) for c, q in zip(curve[:, 0], band[:, 0], strict=True)]
            high = [scale.at(c, q) for c, q in zip(curve[:, 0], band[:, 1], strict=True)]
            shapes.append(Area([*low, *reversed(high)], self._colour(name), 0.16))
        # Baselines first, so that what is to be seen lies on top.
        for name in sorted(self.curves, key=lambda n: n not in self.baselines):
            points = [scale.at(c, q) for c, q in self.curves[name].tolist()]
            dashed = name in self.baselines
            shapes.append(Line(points, self._colour(name), _WIDTH_OF[dashed], dashed))
        return Drawing(_WIDTH, _HEIGHT, [*shapes, *self._marks(scale), *self._legend()])

    def to_svg(self) -> str:
        """Draw it as SVG; errors as of ``drawing``."""
        return self.drawing().to_svg()

    def to_html(self) -> str:
        """A page of its own, with the table."""
        rows = [
            "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
            for number, cells in enumerate(self.table)
            for tag in ("th" if number == 0 else "td",)
        ]
        table = "<table>" + "".join(rows) + "</table>" if rows else ""
        style = (
            "body{font-family:Helvetica,Arial,sans-serif;max-width:62em;margin:2em auto;"
            "padding:0 1em;color:#222}"
            "table{border-collapse:collapse;font-size:.9em}"
            "td,th{padding:.35em .9em;text-align:right;border-bottom:1px solid #ddd;"
            "font-variant-numeric:tabular-nums}"
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
        self.drawing().write_png(path)

    def _colour(self, name: str) -> str:
        if name in self.baselines:
            return _BASELINE_COLOURS[self.baselines.index(name) % len(_BASELINE_COLOURS)]
        ours = [other for other in self.curves if other not in self.baselines]
        return _COLOURS[ours.index(name) % len(_COLOURS)]

    def _marks(self, scale: _Scale) -> list[Shape]:
        """Single agents and the oracle with their names, none over another."""
        marks = {name: scale.at(*point) for name, point in self.singles.items()}
        taken: list[Box] = []
        shapes = self._bars(scale)
        if self.oracle is not None:
            x, y = scale.at(*self.oracle)
            diamond = [(x, y - 8.0), (x + 8.0, y), (x, y + 8.0), (x - 8.0, y)]
            label = Words((x + 13.0, y + 4.0), "oracle", 12.0, _INK, bold=True)
            taken.append((x - 8.0, y - 8.0, x + 13.0 + label.width, y + 8.0))
            shapes += [Area(diamond, _GOLD), label]
        for curve in self.curves.values():
            taken += _along([scale.at(c, q) for c, q in curve.tolist()])
        words = {name: Words((0.0, 0.0), name, 11.0, _GREY) for name in marks}
        boxes = label_boxes(
            list(marks.values()), [(word.width, 13.0) for word in words.values()], PLOT, taken
        )
        for (name, at), box in zip(marks.items(), boxes, strict=True):
            beside = box[0] > at[0]
            near = box[0] - 2.0 if beside else box[2] + 2.0
            if not box[1] <= at[1] <= box[3]:
                shapes.append(Line([at, (near, (box[1] + box[3]) / 2.0)], "#aaaaaa", 0.8))
            text_at = (box[0], box[3] - 3.0) if beside else (box[2], box[3] - 3.0)
            anchor = "start" if beside else "end"
            shapes += [
                Words(text_at, name, 11.0, _GREY, "start" if anchor == "start" else "end"),
                Disc(at, 4.5, _GREY),
            ]
        return shapes

    def _bars(self, scale: _Scale) -> list[Shape]:
        """The intervals of single agents and of the oracle."""
        return [Line([scale.at(*end) for end in ends], _BAR, 1.4) for ends in self._ends()]

    def _ends(self) -> list[list[tuple[float, float]]]:
        """Both ends of each of these intervals, as points."""
        ranges = [(self.singles[name][0], sides) for name, sides in self.ranges.items()]
        if self.oracle is not None and self.oracle_range is not None:
            ranges.append((self.oracle[0], self.oracle_range))
        return [[(cost, side) for side in sides] for cost, sides in ranges]

    def _legend(self) -> list[Shape]:
        x = _WIDTH - _RIGHT + 22.0
        shapes: list[Shape] = []
        for number, name in enumerate(self.curves):
            y = _TOP + 14.0 + 24.0 * number
            colour, dashed = self._colour(name), name in self.baselines
            if name in self.bands:
                shapes.append(
                    Area([(x, y - 10), (x + 26, y - 10), (x + 26, y + 2), (x, y + 2)], colour, 0.16)
                )
            shapes += [
                Line([(x, y - 4.0), (x + 26.0, y - 4.0)], colour, _WIDTH_OF[dashed], dashed),
                Words((x + 34.0, y), name, 12.0),
            ]
        y = _TOP + 14.0 + 24.0 * len(self.curves)
        if self.singles:
            shapes += [Disc((x + 13.0, y - 4.0), 4.5, _GREY), Words((x + 34.0, y), "one agent", 12)]
        drawn = ["shaded"] * bool(self.bands) + ["bars"] * bool(self.ranges)
        if drawn:
            notes = f"{' and '.join(drawn)}:", "95 % intervals"
            shapes += [
                Words((x, y + 28.0 + 15.0 * line), note, 11.0, _GREY)
                for line, note in enumerate(notes)
            ]
        return shapes

    def _points(self) -> Floats:
        """All points, checked, [m, 2]."""
        points = [np.asarray(curve, dtype=np.float64) for curve in self.curves.values()]
        for name, band in self.bands.items():
            points += [np.column_stack((self.curves[name][:, 0], side)) for side in band.T]
        points += [np.array([single]) for single in self.singles.values()]
        points += [np.array(ends) for ends in self._ends()]
        points += [] if self.oracle is None else [np.array([self.oracle])]
        joined = np.concatenate(points) if points else np.empty((0, 2))
        if len(joined) == 0:
            raise InvalidArgumentError("there is nothing to draw")
        if not np.isfinite(joined).all():
            raise InvalidArgumentError("a point to draw is not finite")
        return joined


PLOT: Box = (_LEFT, _TOP, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM)
"""Where the curves are."""


def _along(points: list[tuple[float, float]]) -> list[Box]:
    """Small boxes that cover a line."""
    boxes: list[Box] = []
    for (x, y), (to_x, to_y) in pairwise(points):
        steps = 1 + int(math.hypot(to_x - x, to_y - y) / _COVER)
        for step in range(steps + 1):
            at = step / steps
            middle = x + at * (to_x - x), y + at * (to_y - y)
            boxes.append((middle[0] - 2.0, middle[1] - 2.0, middle[0] + 2.0, middle[1] + 2.0))
    return boxes


class _Scale:
    """From costs and quality to the drawing."""

    def __init__(self, points: Floats) -> None:
        low, high = points.min(axis=0), points.max(axis=0)
        room = np.where(high > low, 0.05 * (high - low), 0.5 * np.abs(high) + 1e-9)
        self._low, self._high = low - room, high + room

    def at(self, cost: float, quality: float) -> tuple[float, float]:
        """The place of a point."""
        left, top, right, bottom = PLOT
        across, up = (np.array([cost, quality]) - self._low) / (self._high - self._low)
        return float(left + across * (right - left)), float(bottom - up * (bottom - top))

    def axes(self, cost_label: str) -> list[Shape]:
        """Grid, ticks and labels."""
        left, top, right, bottom = PLOT
        shapes: list[Shape] = []
        for cost in round_ticks(self._low[0], self._high[0]):
            x, _ = self.at(cost, self._low[1])
            shapes += [
                Line([(x, top), (x, bottom)], _GRID),
                Words((x, bottom + 20.0), f"{cost:.6g}", 11.0, _GREY, "middle"),
            ]
        for quality in round_ticks(self._low[1], self._high[1]):
            _, y = self.at(self._low[0], quality)
            shapes += [
                Line([(left, y), (right, y)], _GRID),
                Words((left - 8.0, y + 4.0), f"{quality:.6g}", 11.0, _GREY, "end"),
            ]
        middle = (left + right) / 2.0, (top + bottom) / 2.0
        return [
            *shapes,
            Line([(left, top), (left, bottom), (right, bottom)], _INK, 1.2),
            Words((middle[0], _HEIGHT - 20.0), cost_label, 13.0, _INK, "middle"),
            Words((26.0, middle[1]), "mean quality (0 to 1)", 13.0, _INK, "middle", upright=True),
        ]


def round_ticks(low: float, high: float) -> list[float]:
    """At most eight round numbers between two others: 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1.0, 2.0, 5.0, 10.0) if power * m >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(number * step, 12) for number in range(first, last + 1)]
