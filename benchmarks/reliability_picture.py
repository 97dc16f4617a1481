"""A reliability diagram: what came true of what was said with how much confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

SIDE, EDGE, GAP = 260, 44, 34
COLOUR = "#1f6f8b"

# Mean confidence, share that was right, and how many.
Bin = tuple[float, float, float]


def reliability_picture(diagrams: Mapping[str, Sequence[Bin]]) -> str:
    """Return an SVG with one diagram beside the other.

    Args:
        diagrams: bins by title. Circles have the area of their number of examples.
    """
    width = EDGE + len(diagrams) * (SIDE + GAP)
    height = SIDE + 2 * EDGE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, (title, bins) in enumerate(diagrams.items()):
        parts += _diagram(title, bins, EDGE + number * (SIDE + GAP), EDGE - 10)
    return "\n".join([*parts, "</svg>", ""])


def _diagram(title: str, bins: Sequence[Bin], left: int, top: int) -> list[str]:
    bottom, right = top + SIDE, left + SIDE
    parts = [
        f'<text x="{left + SIDE / 2}" y="{top - 10}" text-anchor="middle" font-weight="bold">'
        f"{escape(title)}</text>",
        f'<rect x="{left}" y="{top}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#999"/>',
        f'<line x1="{left}" y1="{bottom}" x2="{right}" y2="{top}" stroke="#999"'
        ' stroke-dasharray="4 4"/>',
        f'<text x="{left + SIDE / 2}" y="{bottom + 32}" text-anchor="middle">confidence</text>',
        f'<text x="{left + 8}" y="{top + 18}">share that was right</text>',
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = left + tick * SIDE, bottom - tick * SIDE
        parts.append(f'<text x="{x}" y="{bottom + 15}" text-anchor="middle">{tick:g}</text>')
        parts.append(f'<text x="{left - 5}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
    largest = max((count for _, _, count in bins), default=1.0)
    for confidence, share, count in bins:
        radius = 5.0 * (count / largest) ** 0.5
        parts.append(
            f'<circle cx="{left + confidence * SIDE:.1f}" cy="{bottom - share * SIDE:.1f}"'
            f' r="{radius:.1f}" fill="{COLOUR}" fill-opacity="0.6"/>'
        )
    return parts
