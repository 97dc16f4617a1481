"""Results as a plain table that reads well in a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tiny_dancer.evaluation.bootstrap import Interval


def results_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table with aligned columns.

    Args:
        header: of each column; the first column is left-aligned, the others right.
        rows: as many cells each.

    Returns:
        The lines, without a final newline.
    """
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "| " + " | ".join([first, *rest]) + " |"

    rule = "|" + "|".join(
        [":" + "-" * (widths[0] + 1), *("-" * (width + 1) + ":" for width in widths[1:])]
    )
    return "\n".join([line(header), rule + "|", *map(line, rows)])


def with_interval(interval: Interval, factor: float, digits: int) -> str:
    """Write a figure with its interval in brackets, times a factor, with so many digits."""
    estimate, low, high = (
        f"{factor * value:.{digits}f}" for value in (interval.estimate, interval.low, interval.high)
    )
    return f"{estimate} [{low}, {high}]"
