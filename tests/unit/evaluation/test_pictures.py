import itertools
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from tiny_dancer.errors import InvalidArgumentError, MissingFileError
from tiny_dancer.evaluation.cost_quality_picture import CostQualityPicture, round_ticks
from tiny_dancer.evaluation.drawing import Disc, Line, Words
from tiny_dancer.evaluation.label_places import label_boxes
from tiny_dancer.evaluation.results_table import results_table


def picture(**changes):
    curve = np.array([[0.1, 0.5], [1.0, 0.8]])
    values = {
        "title": "a <b>",
        "curves": {"default": curve, "random": curve - [0.0, 0.1]},
        "singles": {"small & fast": (0.1, 0.5)},
        "oracle": (0.4, 0.9),
        "bands": {"default": np.array([[0.45, 0.55], [0.75, 0.85]])},
        "baselines": ("random",),
        "table": [["router", "AIQ"], ["default", "0.7"]],
    }
    return CostQualityPicture(**{**values, **changes})


def test_the_drawing_is_well_formed_and_holds_everything():
    root = ElementTree.fromstring(picture().to_svg())
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert {"a <b>", "default", "random", "small & fast", "oracle"} <= set(texts)
    dashed = [element for element in root.iter() if element.get("stroke-dasharray")]
    assert len(dashed) == 2, "the baseline, and its key"
    bands = [element for element in root.iter() if element.get("fill-opacity") == "0.16"]
    assert len(bands) == 2, "the band, and its key"


def test_the_page_needs_nothing_else():
    page = picture().to_html()
    assert "<script" not in page
    assert "href" not in page
    assert "<th>router</th>" in page
    assert "<td>0.7</td>" in page
    assert "a &lt;b&gt;" in page


def test_intervals_of_single_agents_and_the_oracle_are_bars_over_their_marks():
    drawn = picture(ranges={"small & fast": (0.4, 0.6)}, oracle_range=(0.85, 0.95)).drawing()
    bars = [s for s in drawn.shapes if isinstance(s, Line) and s.colour == "#a8a8a8"]
    assert len(bars) == 2
    (mark,) = [s for s in drawn.shapes if isinstance(s, Disc) and s.centre[0] < 700]
    (x, bottom), (same_x, top) = bars[0].points
    assert x == same_x == mark.centre[0]
    assert (bottom + top) / 2 == pytest.approx(mark.centre[1])
    texts = [shape.text for shape in drawn.shapes if isinstance(shape, Words)]
    assert {"shaded and bars:", "95 % intervals"} <= set(texts)
    assert "mean quality (0 to 1)" in texts


def test_a_name_without_room_covers_a_curve_rather_than_a_mark():
    marks = [(20.0, 50.0), (40.0, 50.0)]
    everywhere = (0.0, 0.0, 400.0, 300.0)
    first, second = label_boxes(marks, [(80.0, 12.0)] * 2, everywhere, [everywhere])
    for box in (first, second):
        for x, y in marks:
            assert not (box[0] < x < box[2] and box[1] < y < box[3])
    assert first[3] <= second[1] or second[3] <= first[1] or first[2] <= second[0]


def test_nothing_to_draw():
    with pytest.raises(InvalidArgumentError, match="nothing to draw"):
        picture(curves={}, singles={}, oracle=None, bands={}).to_svg()
    with pytest.raises(InvalidArgumentError, match="not finite"):
        picture(oracle=(np.nan, 1.0)).to_svg()


def test_png_without_matplotlib_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingFileError, match="matplotlib"):
        picture().write_png(tmp_path / "picture.png")


def test_png(tmp_path):
    path = tmp_path / "picture.png"
    picture().write_png(path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_names_of_marks_that_lie_together_do_not_cover_one_another():
    marks = [(100.0, 100.0 + 3.0 * number) for number in range(6)]
    line = (100.0, 80.0, 300.0, 84.0)
    boxes = label_boxes(marks, [(80.0, 12.0)] * 6, (0.0, 0.0, 400.0, 300.0), [line])
    for one, other in itertools.combinations([*boxes, line], 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart, f"{one} lies on {other}"


def test_a_name_that_would_leave_the_picture_goes_to_the_other_side():
    (box,) = label_boxes([(390.0, 50.0)], [(60.0, 12.0)], (0.0, 0.0, 400.0, 100.0))
    assert box[2] < 390.0


def test_ticks_are_round_and_within():
    assert round_ticks(0.013, 0.058) == [0.02, 0.03, 0.04, 0.05]
    assert round_ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


def test_the_table_is_aligned():
    table = results_table(["router", "APGR"], [["random", "0.5"], ["x", "0.61"]])
    assert table.splitlines() == [
        "| router | APGR |",
        "|:-------|-----:|",
        "| random |  0.5 |",
        "| x      | 0.61 |",
    ]
