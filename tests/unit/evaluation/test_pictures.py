import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from tiny_dancer.errors import InvalidArgumentError, MissingFileError
from tiny_dancer.evaluation.cost_quality_picture import CostQualityPicture
from tiny_dancer.evaluation.results_table import results_table


def picture(**changes):
    values = {
        "title": "a <b>",
        "curves": {"default": np.array([[0.1, 0.5], [1.0, 0.8]])},
        "singles": {"small & fast": (0.1, 0.5)},
        "oracle": (0.4, 0.9),
        "table": [["router", "AIQ"], ["default", "0.7"]],
    }
    return CostQualityPicture(**{**values, **changes})


def test_the_drawing_is_well_formed_and_holds_everything():
    root = ElementTree.fromstring(picture().to_svg())
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert {"a <b>", "default", "small & fast", "oracle"} <= set(texts)


def test_the_page_needs_nothing_else():
    page = picture().to_html()
    assert "<script" not in page
    assert "href" not in page
    assert "<th>router</th>" in page
    assert "<td>0.7</td>" in page
    assert "a &lt;b&gt;" in page


def test_nothing_to_draw():
    with pytest.raises(InvalidArgumentError, match="nothing to draw"):
        picture(curves={}, singles={}, oracle=None).to_svg()
    with pytest.raises(InvalidArgumentError, match="not finite"):
        picture(oracle=(np.nan, 1.0)).to_svg()


def test_png_without_matplotlib_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingFileError, match="matplotlib"):
        picture().write_png(tmp_path / "picture.png")


def test_png(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "picture.png"
    picture().write_png(path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_table_is_aligned():
    table = results_table(["router", "APGR"], [["random", "0.5"], ["x", "0.61"]])
    assert table.splitlines() == [
        "| router | APGR |",
        "|:-------|-----:|",
        "| random |  0.5 |",
        "| x      | 0.61 |",
    ]
