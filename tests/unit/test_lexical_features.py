import numpy as np
import pytest

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.lexical_features import (
    COUNT,
    NAMES,
    Standardisation,
    lexical_features,
    lexical_matrix,
)


def named(text):
    return dict(zip(NAMES, lexical_features(text).tolist(), strict=True))


def test_numbers_and_digits_are_counted_apart():
    found = named("12 apples and 345 pears")
    assert found["numbers"] == pytest.approx(np.log1p(2))
    assert found["digits"] == pytest.approx(np.log1p(5))
    assert found["words"] == pytest.approx(np.log1p(5))


def test_choices_are_three_marked_lines():
    assert named("Which?\nA. one\nB. two\nC. three")["offers_choices"] == 1.0
    assert named("Which?\nA. one\nB. two")["offers_choices"] == 0.0


@pytest.mark.parametrize("text", ["", " ", "é\u2028\x00", "?" * 10_000, "\ud800"])
def test_any_text_gives_finite_features(text):
    features = lexical_features(text)
    assert features.shape == (COUNT,)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_a_matrix_is_its_rows():
    pieces = [
        "How many?",
        "12",
        " 3.5 and 4",
        "def f(): return 1",
        "\nA. x\nB. y\nC. z",
        "é\ud800",
        "",
    ]
    # Beginning and ending with a digit, so that numbers of neighbours could run together.
    texts = [f"{i}{a}{b}{i}" if i % 3 else a + b for i in range(30) for a in pieces for b in pieces]
    assert len(texts) > 1000
    rows = np.stack([lexical_features(text) for text in texts])
    np.testing.assert_allclose(lexical_matrix(texts), rows, rtol=1e-6)
    assert lexical_matrix([]).shape == (0, COUNT)


def test_standardised_features_have_mean_0_and_deviation_1():
    rows = np.random.default_rng(0).standard_normal((500, 3)).astype(np.float32) * 7 + 3
    rows[:, 2] = 0.1
    standard = Standardisation.fit(rows).transform(rows)
    np.testing.assert_allclose(standard.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(standard.std(axis=0), [1.0, 1.0, 0.0], atol=1e-3)
    assert Standardisation.fit(rows).transform(rows[0] * 1000).max() <= 6.0


def test_nothing_to_standardise_by():
    with pytest.raises(InvalidArgumentError, match="no rows"):
        Standardisation.fit(np.zeros((0, 3), np.float32))
