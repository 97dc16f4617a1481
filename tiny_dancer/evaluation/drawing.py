"""A drawing of lines, areas, marks and words, as SVG text or as PNG through matplotlib.

Both show the same, for every shape has its place in pixels already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal

from tiny_dancer.errors import MissingFileError

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]

_WIDTH_OF_LETTER = 0.56
_ALIGNED = {"start": "left", "middle": "center", "end": "right"}
_DOTS_PER_INCH = 100.0
_SHARPER = 2.0


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points."""

    points: Sequence[Point]
    colour: str
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Area:
    """A filled polygon; ``opacity`` in (0, 1]."""

    points: Sequence[Point]
    colour: str
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Disc:
    """A filled circle with a white rim."""

    centre: Point
    radius: float
    colour: str


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text on its baseline; ``upright`` turns it to read from below."""

    at: Point
    text: str
    size: float = 12.0
    colour: str = "#222222"
    anchor: Anchor = "start"
    bold: bool = False
    upright: bool = False

    @property
    def width(self) -> float:
        """About how wide it is."""
        return _WIDTH_OF_LETTER * self.size * len(self.text)


Shape = Line | Area | Disc | Words


@dataclass(frozen=True, slots=True)
class Drawing:
    """Shapes, the first at the bottom, on a white ground of so many pixels."""

    width: float
    height: float
    shapes: Sequence[Shape]

    def to_svg(self) -> str:
        """The drawing as an SVG element."""
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} '
                f'{self.height:g}" font-family="Helvetica, Arial, sans-serif" role="img">',
                *(_svg(shape) for shape in self.shapes),
                "</svg>",
            ]
        )

    def write_png(self, path: Path) -> None:
        """Write the drawing as PNG.

        Raises:
            MissingFileError: matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise MissingFileError(
                'python package "matplotlib" is not installed for this python',
                hint='Install the extra "evaluation": pip install "tiny-dancer[evaluation]".',
            ) from error
        size = (self.width / _DOTS_PER_INCH, self.height / _DOTS_PER_INCH)
        figure = Figure(figsize=size, dpi=_DOTS_PER_INCH, facecolor="white")
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_xlim(0.0, self.width)
        axes.set_ylim(self.height, 0.0)
        axes.axis("off")
        for layer, shape in enumerate(self.shapes):
            _paint(axes, shape, layer)
        figure.savefig(path, format="png", dpi=_SHARPER * _DOTS_PER_INCH)


def _svg(shape: Shape) -> str:
    if isinstance(shape, Disc):
        x, y = shape.centre
        return (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{shape.radius:g}" fill="{shape.colour}" '
            'stroke="white" stroke-width="1"/>'
        )
    if isinstance(shape, Words):
        x, y = shape.at
        turned = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if shape.upright else ""
        bold = ' font-weight="bold"' if shape.bold else ""
        return (
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{shape.size:g}" fill="{shape.colour}" '
            f'text-anchor="{shape.anchor}"{bold}{turned}>{escape(shape.text)}</text>'
        )
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
    if isinstance(shape, Area):
        return (
            f'<polygon points="{points}" fill="{shape.colour}" fill-opacity="{shape.opacity:g}"/>'
        )
    dashes = ' stroke-dasharray="6 4"' if shape.dashed else ""
    return (
        f'<polyline points="{points}" fill="none" stroke="{shape.colour}" '
        f'stroke-width="{shape.width:g}" stroke-linejoin="round"{dashes}/>'
    )


def _paint(axes: Any, shape: Shape, layer: int) -> None:
    """Put a shape on matplotlib's axes; a pixel is 0.72 of the points it reckons in."""
    points_per_pixel = 72.0 / _DOTS_PER_INCH
    if isinstance(shape, Disc):
        axes.plot(
            *shape.centre,
            "o",
            color=shape.colour,
            markersize=2.0 * shape.radius * points_per_pixel,
            markeredgecolor="white",
            markeredgewidth=points_per_pixel,
            zorder=layer,
        )
    elif isinstance(shape, Words):
        axes.text(
            *shape.at,
            shape.text,
            fontsize=shape.size * points_per_pixel,
            color=shape.colour,
            ha=_ALIGNED[shape.anchor],
            va="baseline",
            weight="bold" if shape.bold else "normal",
            rotation=90.0 if shape.upright else 0.0,
            rotation_mode="anchor",
            zorder=layer,
            # Names of agents are no formulas, whatever dollar signs they hold.
            parse_math=False,
        )
    elif isinstance(shape, Area):
        xs, ys = zip(*shape.points, strict=True)
        axes.fill(xs, ys, color=shape.colour, alpha=shape.opacity, linewidth=0.0, zorder=layer)
    else:
        xs, ys = zip(*shape.points, strict=True)
        axes.plot(
            xs,
            ys,
            color=shape.colour,
            linewidth=shape.width * points_per_pixel,
            # Reckoned in widths of the line.
            linestyle=(0, (6.0 / shape.width, 4.0 / shape.width)) if shape.dashed else "-",
            zorder=layer,
        )
