"""The reliability diagram is a picture of what it is given."""

from __future__ import annotations

import runpy
import xml.etree.ElementTree as ElementTree
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "reliability_picture.py"


def test_every_bin_is_a_circle_at_its_place():
    draw = runpy.run_path(str(SCRIPT))["reliability_picture"]
    picture = draw({"A & B": [(0.0, 0.0, 10), (1.0, 1.0, 40)], "C": [(0.5, 0.75, 20)]})
    root = ElementTree.fromstring(picture)
    circles = [c for c in root if c.tag.endswith("circle")]
    texts = [t.text for t in root if t.tag.endswith("text")]
    assert len(circles) == 3
    assert {"A & B", "C", "confidence"} <= set(texts)
    low, high = circles[:2]
    assert float(high.get("cx")) - float(low.get("cx")) == 260
    assert float(low.get("cy")) - float(high.get("cy")) == 260
    assert float(high.get("r")) == 2 * float(low.get("r"))
