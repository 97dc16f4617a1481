import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tiny_dancer.embedding.importing.quantise import TABLE_LIMIT, WEIGHT_LIMIT, quantise_columns

matrices = arrays(
    np.float32,
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
    elements=st.floats(-10, 10, width=32),
)


@given(matrices, st.sampled_from([WEIGHT_LIMIT, TABLE_LIMIT]))
def test_each_column_is_within_half_a_step(weight, limit):
    codes, scales = quantise_columns(weight, limit)
    assert codes.dtype == np.int8
    assert np.abs(codes.astype(int)).max() <= limit
    error = np.abs(codes * scales - weight)
    assert (error <= scales * 0.501).all()


def test_a_column_of_zeros():
    codes, scales = quantise_columns(np.zeros((3, 2), dtype=np.float32), WEIGHT_LIMIT)
    assert not codes.any()
    assert np.isfinite(scales).all()


def test_two_products_fit_sixteen_bits():
    # What an AVX2 instruction adds before it would clip.
    assert 2 * 255 * WEIGHT_LIMIT <= 32767 < 2 * 255 * TABLE_LIMIT


def test_columns_have_scales_of_their_own():
    weight = np.array([[1, 1000], [-0.5, 200]], dtype=np.float32)
    codes, scales = quantise_columns(weight, 100)
    assert scales == pytest.approx([0.01, 10])
    assert codes.tolist() == [[100, 100], [-50, 20]]
