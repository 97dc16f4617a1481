"""The matrix of embeddings: its order in memory changes no decision and no number."""

import numpy as np
import pytest

from tiny_dancer.agents import Agent, AgentRegistry
from tiny_dancer.agents.embedding_matrix import COLUMNS_FROM, distinct_rows, laid_out, stack

DIMENSION = 256
# So many that the matrix is laid out by columns.
MANY = COLUMNS_FROM // (4 * DIMENSION) + 37


def units(count, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def registry_of(vectors):
    return AgentRegistry([Agent(f"{i:05}", id=i + 1, embedding=v) for i, v in enumerate(vectors)])


def test_vectors_are_stacked_with_zeros_for_those_that_are_missing():
    assert stack([None, np.ones(3, np.float32)], None).tolist() == [[0, 0, 0], [1, 1, 1]]
    assert stack([None], 2).tolist() == [[0, 0]]
    assert stack([], None).shape == (0, 0)


def test_a_large_matrix_lies_by_columns_and_is_the_same():
    rows = units(MANY)
    by_columns = laid_out(rows)
    assert by_columns.flags.f_contiguous
    np.testing.assert_array_equal(by_columns, rows)
    assert laid_out(by_columns) is by_columns


def test_a_small_matrix_stays_as_it_is():
    rows = units(5)
    assert laid_out(rows) is rows


@pytest.mark.parametrize("count", [6, MANY])
def test_equal_rows_are_found_in_any_order_in_memory(count):
    rows = units(count)
    rows[count - 1], rows[count // 2] = rows[1], rows[0]
    for matrix in (rows, np.asfortranarray(rows)):
        distinct, which = distinct_rows(matrix)
        np.testing.assert_array_equal(distinct, np.delete(rows, [count // 2, count - 1], axis=0))
        np.testing.assert_array_equal(distinct[which], rows)


def test_rows_that_all_differ_are_the_matrix_itself():
    # The sums of their bits are equal, the rows are not.
    swapped = np.array([[1.0, 2.0], [2.0, 1.0]], np.float32)
    for matrix in (units(MANY), swapped):
        distinct, which = distinct_rows(matrix)
        assert distinct is matrix
        assert which is None


@pytest.mark.parametrize("count", [9, MANY])
def test_similarities_of_a_registry_are_cosines_whatever_its_size(count):
    vectors = units(count)
    vectors[4] = vectors[2]
    request = units(1, seed=1)[0]
    found = registry_of(vectors).similarities(request)
    exact = vectors.astype(np.float64) @ request.astype(np.float64)
    np.testing.assert_allclose(found, exact, atol=2e-6)
    assert found[4] == found[2]


@pytest.mark.parametrize("count", [90, MANY])
def test_a_changed_embedding_is_put_in_its_place(count):
    vectors, other = units(count), units(1, seed=2)[0]
    before = registry_of(vectors)
    after = before.with_agents([Agent("00007", id=8, embedding=other)])
    np.testing.assert_array_equal(after.embeddings[7], other)
    np.testing.assert_array_equal(before.embeddings[7], vectors[7])
    np.testing.assert_array_equal(after.embeddings[8:], vectors[8:])
    assert after.embeddings.flags.f_contiguous == before.embeddings.flags.f_contiguous
    assert after.similarities(other)[7] == pytest.approx(1.0, abs=2e-6)


def test_an_embedding_that_appears_or_goes_changes_the_matrix():
    vectors = units(20)
    before = registry_of(vectors)
    without = before.with_agents([Agent("00003", id=4)])
    assert not without.embeddings[3].any()
    assert not without.embedded[3]
    again = without.with_agents([Agent("00003", id=4, embedding=vectors[3])])
    np.testing.assert_array_equal(again.embeddings, before.embeddings)
    assert before.with_agents([Agent("00003", id=4, embedding=vectors[3])]).embeddings is (
        before.embeddings
    )
