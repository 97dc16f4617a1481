"""Where to put the names of marks so that none lies on another or on a mark."""

from __future__ import annotations

from collections.abc import Sequence

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

_AWAY = (0.0, 12.0, 26.0, 42.0, 60.0, 80.0, 104.0)
_GAP = 8.0


def label_boxes(
    marks: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    within: Box,
    taken: Sequence[Box] = (),
) -> list[Box]:
    """Place a label beside each mark: right of it, left, or further up or down.

    Greedy from the top: each takes the nearest place that is free; where none is, the nearest that
    covers no label and no mark; and the first place of all where there is none either.

    Args:
        marks: centres.
        sizes: width and height of each label.
        within: what labels must not leave.
        taken: boxes that they must not cover either.
    """
    occupied = [(x - 5.0, y - 5.0, x + 5.0, y + 5.0) for x, y in marks]
    boxes: dict[int, Box] = {}
    for number in sorted(range(len(marks)), key=lambda n: marks[n][1]):
        (x, y), (width, height) = marks[number], sizes[number]
        places = [
            (left, y + down - height / 2.0, left + width, y + down + height / 2.0)
            for away in _AWAY
            for down in dict.fromkeys((away, -away))
            for left in (x + _GAP, x - _GAP - width)
        ]
        readable = [box for box in places if _inside(box, within) and _is_free(box, occupied)]
        free = (box for box in readable if _is_free(box, taken))
        boxes[number] = next(free, (readable or places)[0])
        occupied.append(boxes[number])
    return [boxes[number] for number in range(len(marks))]


def _is_free(box: Box, occupied: Sequence[Box]) -> bool:
    return not any(_overlap(box, other) for other in occupied)


def _inside(box: Box, within: Box) -> bool:
    return (
        box[0] >= within[0] and box[1] >= within[1] and box[2] <= within[2] and box[3] <= within[3]
    )


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
