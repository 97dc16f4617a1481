"""Memberships of one request: the same by the quick way and by the safe one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from tiny_dancer.predictors.request_clusters import softmax, softmax_of_one


@pytest.mark.parametrize(
    "nearness",
    [
        [0.0],
        [-3.0, 0.5, 2.0],
        [79.0, 78.0, 10.0],
        [81.0, 500.0, 499.0],
        [1e30, 1e30, -1e30],
        [-59.0, -58.5],
        [-70.0, -71.0, -72.0],
        [-500.0, -501.0],
        [-1e30, 3.0],
        [85.0] * 500,
    ],
)
def test_one_softmax_is_that_of_many(nearness):
    one = np.array(nearness, np.float32)
    out = np.empty_like(one)
    make = softmax_of_one(one, out)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make()
    expected = softmax(np.array([nearness], np.float32))[0]
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-30)
    assert out.sum() == pytest.approx(1.0, rel=1e-5)


def test_it_works_on_what_the_array_holds_at_the_time():
    sums, out = np.zeros(2, np.float32), np.empty(2, np.float32)
    make = softmax_of_one(sums, out)
    for difference in (0.0, 1.0, 200.0, -1.0):
        sums[:] = [difference, 0.0]
        make()
        assert out[0] == pytest.approx(1.0 / (1.0 + np.exp(-difference)), rel=1e-6)


def test_what_is_not_a_number_stays_so():
    sums, out = np.array([np.nan, 1.0], np.float32), np.empty(2, np.float32)
    softmax_of_one(sums, out)()
    assert np.isnan(out).all()
