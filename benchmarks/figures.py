"""The figures that benchmarks hand to ``make bench``, and the one table that it makes of them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

SHEET = "TINY_DANCER_FIGURES"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table.

    Attributes:
        operation: what was measured.
        measured: the figure.
        unit: of it.
        target: what it must reach, None where nothing is asked.
        at_least: whether it must not be less; otherwise it must not be more.
        beside: what it is compared with, and how that fared in the same run.
    """

    operation: str
    measured: float
    unit: str
    target: float | None = None
    at_least: bool = False
    beside: str = ""

    @property
    def verdict(self) -> str:
        """Whether the target is met, empty without one."""
        if self.target is None:
            return ""
        is_met = self.measured >= self.target if self.at_least else self.measured <= self.target
        return "met" if is_met else "missed"


def note(*figures: Figure) -> None:
    """Hand figures to whoever runs this benchmark; nothing happens when it is run alone."""
    sheet = os.environ.get(SHEET)
    if sheet is None:
        return
    with open(sheet, "a", encoding="utf-8") as file:
        for figure in figures:
            file.write(json.dumps(asdict(figure)) + "\n")


def noted(sheet: Path) -> list[Figure]:
    """Return the figures that a benchmark handed over."""
    return [Figure(**json.loads(line)) for line in sheet.read_text("utf-8").splitlines()]


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table of Markdown."""
    lines = ["| operation | measured | must reach | | beside it |", "|---|--:|--:|---|---|"]
    for figure in figures:
        asked = ""
        if figure.target is not None:
            asked = f"{'≥' if figure.at_least else '≤'} {shown(figure.target)}"
        cells = (
            figure.operation,
            f"{shown(figure.measured)} {figure.unit}",
            asked,
            figure.verdict,
            figure.beside,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def shown(value: float) -> str:
    """Return a number with as many digits as it is worth."""
    if abs(value) >= 100.0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10.0 else f"{value:.2f}".rstrip("0").rstrip(".")
