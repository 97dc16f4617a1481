"""The exact scan."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_dancer.index.exact import nearest


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), max_size=60), st.integers(1, 70))
def test_the_greatest_come_first_and_equals_keep_their_order(similarity, k):
    expected = sorted(range(len(similarity)), key=lambda i: (-similarity[i], i))[:k]
    assert nearest(np.array(similarity), k).tolist() == expected


@pytest.mark.parametrize("count", [0, 1, 3, 1000])
def test_no_more_than_there_are(count):
    assert len(nearest(np.zeros(count), 3)) == min(count, 3)
