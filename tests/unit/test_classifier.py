"""The classifier: learns, is calibrated, survives storage, says what is wrong with its input."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tiny_dancer.classifier import ClassifierSettings, RouteClassifier, _paced
from tiny_dancer.errors import InvalidArgumentError, NotReadyError
from tiny_dancer.fastgrnn import FastGRNN
from tiny_dancer.training import progress
from tiny_dancer.training.encoder_training import Descent
from tiny_dancer.weights import DamagedWeightsError, from_blob, to_blob

QUICK = ClassifierSettings(
    hidden_dim=16, seeds=2, descent=Descent(learning_rate=0.01, dropout=0.2, epochs=15, patience=4)
)
NAMES = ["code", "maths", "chat"]


def blobs(n=240, spread=0.5, dim=12, seed=0):
    """Three classes around three directions."""
    generator = np.random.default_rng(seed)
    centres = np.eye(3, dim)
    numbers = np.arange(n) % 3
    x = centres[numbers] + spread * generator.normal(size=(n, dim)) / math.sqrt(dim)
    return x.astype(np.float32), [NAMES[i] for i in numbers]


def labels_of_signs(n=300, dim=6, seed=0):
    """Three labels that do not exclude each other: the signs of the first three numbers."""
    x = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return x, x[:, :3] > 0


@pytest.fixture(scope="module")
def kinds():
    return RouteClassifier(QUICK).fit(*blobs())


@pytest.fixture(scope="module")
def capabilities():
    return RouteClassifier(QUICK).fit_multilabel(*labels_of_signs(), ["a", "b", "c"])


def test_learns(kinds):
    x, labels = blobs(seed=9)
    assert np.mean([a == b for a, b in zip(kinds.predict(x), labels, strict=True)]) > 0.95
    assert kinds.classes_ == ["chat", "code", "maths"]
    assert kinds.metrics_["rows"] == 240
    assert kinds.metrics_["held_back_rows"] == 40
    assert kinds.metrics_["accuracy"] > 0.9
    assert 0 <= kinds.metrics_["calibration_error"] <= 1


@pytest.mark.parametrize("tied", [True, False])
def test_learns_with_one_matrix_and_with_two(tied):
    settings = ClassifierSettings(hidden_dim=16, seeds=2, tied=tied, descent=QUICK.descent)
    fitted = RouteClassifier(settings).fit(*blobs())
    assert fitted.weights_.tensors["w"].shape == (1 if tied else 2, 32, 12)
    assert fitted.metrics_["accuracy"] > 0.9


def test_many_rows_are_walked_in_larger_batches():
    descent = Descent(learning_rate=0.001, batch_size=64)
    assert _paced(descent, 4_000) == descent
    assert _paced(descent, 10_000_000).batch_size == 256
    assert _paced(descent, 10_000_000).learning_rate == pytest.approx(0.002)


def test_classify_is_sorted_and_sums_to_one(kinds):
    answer = kinds.classify(blobs()[0][0])
    assert sorted(name for name, _ in answer) == sorted(NAMES)
    probabilities = [p for _, p in answer]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1.0, abs=1e-6)
    assert all(type(name) is str and type(p) is float for name, p in answer)
    json.dumps(answer)


def test_classify_is_the_softmax_of_cell_and_head(kinds):
    x = blobs(seed=3)[0][0]
    hidden = FastGRNN(kinds.weights_).forward_single(4 * x / np.linalg.norm(x))
    logits = (kinds.head_ @ hidden + kinds.bias_).astype(float)
    expected = np.exp(logits) / np.exp(logits).sum()
    answer = dict(kinds.classify(x))
    for name, probability in zip(kinds.classes_, expected, strict=True):
        assert answer[name] == pytest.approx(probability, rel=1e-5)


def test_batch_equals_single(kinds, capabilities):
    x = blobs(seed=4)[0][:5]
    for single, batch in zip([kinds.classify(v) for v in x], kinds.classify_batch(x), strict=True):
        assert [name for name, _ in single] == [name for name, _ in batch]
        assert [p for _, p in single] == pytest.approx([p for _, p in batch], abs=1e-5)
    signs = labels_of_signs(seed=4)[0][:5]
    for vector, row in zip(signs, capabilities.predict_proba(signs), strict=True):
        answer = dict(capabilities.classify_capabilities(vector, 0.0))
        expected = dict(zip(capabilities.classes_, row.tolist(), strict=True))
        assert answer == pytest.approx(expected, abs=1e-5)


def test_length_of_an_embedding_does_not_matter(kinds):
    x = blobs()[0][0]
    assert dict(kinds.classify(x)) == pytest.approx(dict(kinds.classify(1000 * x)), abs=1e-5)


def test_zero_vector_gets_the_bias(kinds):
    answer = kinds.classify(np.zeros(12))
    assert sum(p for _, p in answer) == pytest.approx(1.0, abs=1e-6)


def test_capabilities(capabilities):
    x, truth = labels_of_signs(seed=9)
    said = capabilities.predict_proba(x) >= 0.5
    assert (said == truth).mean() > 0.9
    answer = capabilities.classify_capabilities([3, -3, 2, 0, 0, 0])
    assert [name for name, _ in answer] in (["a", "c"], ["c", "a"])
    assert all(p >= 0.5 for _, p in answer)
    assert len(capabilities.classify_capabilities([3, -3, 2, 0, 0, 0], threshold=0.0)) == 3
    assert capabilities.classify_capabilities([0.1, 0.1, 0.1, 3, 0, 0], threshold=1.0) == []
    assert {"precision", "recall", "f1", "log_loss"} <= set(capabilities.metrics_)


def test_soft_targets_are_shares():
    x = np.random.default_rng(0).normal(size=(200, 4))
    targets = np.tile([0.8, 0.1], (200, 1))
    fitted = RouteClassifier(QUICK).fit_multilabel(x, targets, ["often", "seldom"])
    np.testing.assert_allclose(fitted.predict_proba(x).mean(axis=0), [0.8, 0.1], atol=0.07)


def test_no_certainty_from_a_few_rows_that_were_easy(kinds):
    # All 40 rows held back were right; that does not make the next one certain.
    assert kinds.metrics_["accuracy"] == 1.0
    assert 0.25 < kinds.temperature_ < 4
    assert kinds.predict_proba(blobs(seed=8)[0]).max() < 0.999999


def test_confidence_is_what_happens():
    # Labels that are partly noise: a model that says 100 % everywhere would be wrong.
    x, labels = blobs(n=900, spread=0.3)
    generator = np.random.default_rng(2)
    noisy = [
        NAMES[generator.integers(3)] if generator.random() < 0.4 else label for label in labels
    ]
    fitted = RouteClassifier(QUICK).fit(x, noisy)
    test_x, _ = blobs(n=900, spread=0.3, seed=5)
    # Right with probability 0.6 + 0.4 / 3.
    assert fitted.predict_proba(test_x).max(axis=1).mean() == pytest.approx(0.733, abs=0.06)


def test_same_data_and_seed_same_bytes():
    x, labels = blobs()
    first, again = (RouteClassifier(QUICK).fit(x, labels).to_bytes() for _ in range(2))
    other = RouteClassifier(
        ClassifierSettings(hidden_dim=16, seeds=2, descent=QUICK.descent, seed=1)
    ).fit(x, labels)
    assert first == again
    assert first != other.to_bytes()


def test_bytes_round_trip(kinds, capabilities):
    x = blobs()[0][:3]
    back = RouteClassifier.from_bytes(kinds.to_bytes())
    assert back.classify_batch(x) == kinds.classify_batch(x)
    assert back.to_bytes() == kinds.to_bytes()
    assert (back.mode_, back.classes_, back.settings) == ("one", kinds.classes_, QUICK)
    assert back.metrics_ == kinds.metrics_
    signs = labels_of_signs()[0][0]
    back = RouteClassifier.from_bytes(capabilities.to_bytes())
    assert back.classify_capabilities(signs) == capabilities.classify_capabilities(signs)


def test_damaged_bytes_name_row_and_tensor(kinds):
    blob = bytearray(kinds.to_bytes())
    blob[-1] ^= 1
    with pytest.raises(DamagedWeightsError, match="classifier 7, tensor bias is damaged"):
        RouteClassifier.from_bytes(bytes(blob), where="classifier 7")


@pytest.mark.parametrize(
    "change",
    [
        lambda t, d: d.pop("classes"),
        lambda t, d: d["classes"].pop(),
        lambda t, d: d.update(classes=["a", "b", ""]),
        lambda t, d: d.update(mode="some"),
        lambda t, d: d.update(settings={}),
        lambda t, d: d["settings"].update(hidden_dim=0),
        lambda t, d: d.update(temperature="warm"),
        lambda t, d: t.pop("head"),
        lambda t, d: t.pop("b"),
        lambda t, d: t.update(bias=t["bias"][:2]),
        lambda t, d: d["form"].update(hidden_dim=5),
    ],
)
def test_intact_bytes_that_are_no_classifier(kinds, change):
    tensors, description = from_blob(kinds.to_bytes())
    change(tensors, description)
    with pytest.raises(DamagedWeightsError, match="classifier 7"):
        RouteClassifier.from_bytes(to_blob(tensors, description), where="classifier 7")


def test_twins_are_held_back_together():
    # Every vector twice. Labels are chance, so a twin left in training would give 100 %.
    generator = np.random.default_rng(0)
    x = np.repeat(generator.normal(size=(150, 20)), 2, axis=0)
    labels = np.repeat(generator.integers(0, 2, 150), 2)
    fitted = RouteClassifier(QUICK).fit(x, [NAMES[i] for i in labels])
    assert fitted.metrics_["accuracy"] < 0.75


def test_five_rows():
    fitted = RouteClassifier(QUICK).fit(np.eye(5), ["a", "b", "a", "b", "a"])
    assert fitted.metrics_["held_back_rows"] == 0
    assert "accuracy" not in fitted.metrics_
    assert fitted.temperature_ == 1.0
    assert all(math.isfinite(p) for _, p in fitted.classify(np.ones(5)))


def test_a_class_of_one_row():
    x, labels = blobs()
    labels[7] = "rare"
    fitted = RouteClassifier(QUICK).fit(x, labels)
    assert "rare" in fitted.classes_
    assert np.isfinite(fitted.predict_proba(x)).all()


def test_all_vectors_equal_gives_the_shares():
    fitted = RouteClassifier(QUICK).fit(np.ones((200, 4)), ["a"] * 150 + ["b"] * 50)
    assert dict(fitted.classify(np.ones(4)))["a"] == pytest.approx(0.75, abs=0.1)


def test_balanced_weights_lift_the_rare_class():
    x = np.random.default_rng(0).normal(size=(300, 4))
    labels = ["common"] * 270 + ["rare"] * 30
    plain = RouteClassifier(QUICK).fit(x, labels)
    balanced = RouteClassifier(QUICK).fit(x, labels, class_weight="balanced")
    named = RouteClassifier(QUICK).fit(x, labels, class_weight={"rare": 9.0})
    column = plain.classes_.index("rare")
    means = [c.predict_proba(x)[:, column].mean() for c in (plain, balanced, named)]
    assert means[0] < 0.25
    assert means[1] == pytest.approx(0.5, abs=0.15)
    assert means[2] == pytest.approx(0.5, abs=0.15)


def test_rows_without_weight_teach_nothing():
    x, labels = blobs()
    wrong = ["chat"] * 240
    fitted = RouteClassifier(QUICK).fit(
        np.concatenate([x, x + 0.001]), labels + wrong, sample_weight=[1] * 240 + [0] * 240
    )
    assert np.mean([a == b for a, b in zip(fitted.predict(x), labels, strict=True)]) > 0.95


def test_cancelled_training_leaves_the_old_model(monkeypatch):
    monkeypatch.setattr(progress, "LONGEST_SILENCE_S", math.inf)  # epochs only

    class CancelledError(Exception):
        pass

    seen = []

    def cancel(epoch, of, loss):
        seen.append((epoch, of, loss))
        if epoch == 3:
            raise CancelledError

    classifier = RouteClassifier(QUICK).fit(*blobs())
    before = classifier.to_bytes()
    with pytest.raises(CancelledError):
        classifier.fit(blobs()[0], ["x", "y"] * 120, progress=cancel)
    assert classifier.to_bytes() == before
    assert [epoch for epoch, _, _ in seen] == [1, 2, 3]


def test_progress_ends_at_the_end():
    seen = []
    RouteClassifier(QUICK).fit(*blobs(), progress=lambda *report: seen.append(report))
    assert seen[-1][0] == seen[-1][1]
    assert [epoch for epoch, _, _ in seen] == sorted(epoch for epoch, _, _ in seen)


X, Y = blobs(n=30)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.fit(X, ["a"] * 30), "all 30 rows have the label 'a'"),
        (lambda c: c.fit(X, Y[:-1]), "29 labels for 30 embeddings"),
        (lambda c: c.fit(X, [None, *Y[1:]]), "label of row 0 must be a non-empty text, not None"),
        (lambda c: c.fit(X, [" ", *Y[1:]]), "label of row 0"),
        (lambda c: c.fit(X, [1, *Y[1:]]), "label of row 0"),
        (lambda c: c.fit(np.zeros((0, 3)), []), "no rows"),
        (lambda c: c.fit(X[0], Y), "embeddings have shape"),
        (lambda c: c.fit(np.zeros((30, 0)), Y), "embeddings have shape"),
        (lambda c: c.fit([["a"]] * 30, Y), "not numbers"),
        (lambda c: c.fit([[1.0], [1.0, 2.0]], Y[:2]), "no array of numbers"),
        (lambda c: c.fit(np.where(np.arange(30)[:, None] == 4, np.nan, X), Y), "row 4"),
        (lambda c: c.fit(np.where(np.arange(30)[:, None] == 5, np.inf, X), Y), "row 5"),
        (lambda c: c.fit(X, Y, sample_weight=[1, 2]), "sample_weight must be 30"),
        (lambda c: c.fit(X, Y, sample_weight=[-1] * 30), "none negative"),
        (lambda c: c.fit(X, Y, sample_weight=[0] * 30), "not all zero"),
        (lambda c: c.fit(X, Y, sample_weight=[math.nan] * 30), "finite"),
        (lambda c: c.fit(X, Y, class_weight={"poetry": 2}), "'poetry', which no row has"),
        (lambda c: c.fit(X, Y, class_weight="fair"), "'balanced' or weights"),
        (lambda c: c.fit_multilabel(X, np.ones((30, 2)), ["a"]), "indicator has shape"),
        (lambda c: c.fit_multilabel(X, np.ones((30, 2)), ["a", "a"]), "'a' is named twice"),
        (lambda c: c.fit_multilabel(X, np.full((30, 1), 1.5), ["a"]), "row 0, 'a' must lie"),
        (lambda c: c.fit_multilabel(X, np.full((30, 1), np.nan), ["a"]), "row 0, 'a' must lie"),
        (lambda c: c.fit_multilabel(X, [["x"]] * 30, ["a"]), "indicator"),
        (lambda c: c.fit_multilabel(X, np.ones((30, 0)), []), "no rows"),
    ],
)
def test_fit_on_nonsense(call, message):
    classifier = RouteClassifier(QUICK)
    with pytest.raises(InvalidArgumentError, match=message):
        call(classifier)
    with pytest.raises(NotReadyError):
        classifier.classify(X[0])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "embedding",
    [
        np.zeros(11),
        np.zeros((1, 12)),
        3.0,
        ["a"] * 12,
        [None] * 12,
        [math.nan] * 12,
        [math.inf, *[0.0] * 11],
        [3e38] * 12,
        [1e300] * 12,
    ],
    ids=lambda e: str(e)[:20],
)
def test_classify_nonsense(kinds, embedding):
    with pytest.raises(InvalidArgumentError):
        kinds.classify(embedding)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan])
def test_thresholds_that_make_no_sense(capabilities, threshold):
    with pytest.raises(InvalidArgumentError, match="threshold must lie"):
        capabilities.classify_capabilities(np.zeros(6), threshold)


def test_each_answer_needs_its_own_fit(kinds, capabilities):
    for call in (
        lambda: kinds.classify_capabilities(X[0]),
        lambda: capabilities.classify(np.zeros(6)),
        lambda: capabilities.predict(np.zeros((1, 6))),
        lambda: capabilities.classify_batch(np.zeros((1, 6))),
    ):
        with pytest.raises(NotReadyError, match="was fitted with"):
            call()
    unfitted = RouteClassifier()
    for call in (
        lambda: unfitted.classify(X[0]),
        lambda: unfitted.predict_proba(X),
        unfitted.to_bytes,
    ):
        with pytest.raises(NotReadyError, match="not fitted"):
            call()


@pytest.mark.parametrize("field", [{"hidden_dim": 0}, {"seeds": 1.5}, {"seed": -1}], ids=str)
def test_settings_that_make_no_sense(field):
    with pytest.raises(InvalidArgumentError, match=next(iter(field))):
        ClassifierSettings(**field)
