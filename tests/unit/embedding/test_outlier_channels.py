import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load_file, save_file
from small_bert import write_small_bert

from tiny_dancer.embedding.importing.agreement import PROBES
from tiny_dancer.embedding.importing.architecture import read_architecture
from tiny_dancer.embedding.importing.bert_graph import linear_names, write_bert_graph
from tiny_dancer.embedding.importing.importer import import_model
from tiny_dancer.embedding.importing.outlier_channels import CALIBRATION_TEXTS, channel_divisors
from tiny_dancer.embedding.importing.weights import read_weights
from tiny_dancer.embedding.onnx import INPUT, OUTPUT


def test_only_outliers_are_divided_and_by_powers_of_two():
    largest = {
        "plain": np.array([1, 2, 0.5, 3], dtype=np.float32),
        "spiky": np.array([1, 1, 1, 64, 9, 1], dtype=np.float32),
    }
    divisors = channel_divisors(largest)
    assert list(divisors) == ["spiky"]
    assert divisors["spiky"].tolist() == [1, 1, 1, 16, 2, 1]


def test_dead_channels_do_no_harm():
    assert channel_divisors({"dead": np.zeros(4, dtype=np.float32)}) == {}


def test_dividing_leaves_the_product_as_it_was(tmp_path):
    source = write_small_bert(tmp_path / "source")
    weights, architecture = read_weights(source), read_architecture(source)
    random = np.random.default_rng(0)
    widths = {name: weights[f"{name}.weight"].shape[1] for name in linear_names(architecture)}
    divisors = {
        name: np.exp2(random.integers(0, 4, width)).astype(np.float32)
        for name, width in widths.items()
    }
    ids = np.array([[2, 10, 11, 12, 3]], dtype=np.int64)
    vectors = []
    for given in (None, divisors):
        folder = tmp_path / f"graph-{given is None}"
        folder.mkdir()
        write_bert_graph(folder, weights, architecture, "fp32", divisors=given)
        vectors.append(_run(folder, ids))
    assert vectors[1] == pytest.approx(vectors[0], abs=1e-6)


def test_a_model_with_outliers_stays_near_fp32(tmp_path):
    # A channel that is large before the feed-forward part of each layer, as in real models.
    source = write_small_bert(tmp_path / "spiky", seed=5)
    weights = load_file(source / "model.safetensors")
    for name in [n for n in weights if n.endswith("LayerNorm.weight")]:
        weights[name][7] = 25
    save_file(weights, source / "model.safetensors")
    assert import_model(str(source), tmp_path / "models").cosine > 0.99


def test_calibration_and_agreement_use_different_texts():
    assert not set(CALIBRATION_TEXTS) & set(PROBES)


def _run(folder, ids):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
    return session.run([OUTPUT], {INPUT: ids})[0]
