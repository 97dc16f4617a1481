import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file
from small_bert import write_small_bert

from tiny_dancer.embedding.importing.architecture import read_architecture
from tiny_dancer.embedding.importing.importer import import_model
from tiny_dancer.embedding.importing.weights import read_weights
from tiny_dancer.errors import InvalidArgumentError, MissingFileError


@pytest.fixture
def source(small_bert, tmp_path):
    """A model to change."""
    return shutil.copytree(small_bert, tmp_path / "source")


def _edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _unsupported(source, what):
    with pytest.raises(InvalidArgumentError, match=f"is not supported: {what}") as caught:
        read_architecture(source)
    assert "Supported are BERT encoders" in caught.value.detail


def test_numbers(source):
    architecture = read_architecture(source)
    assert (architecture.layers, architecture.heads, architecture.hidden) == (2, 4, 64)
    assert (architecture.max_tokens, architecture.pooling) == (16, "mean")


def test_window_is_at_most_the_positions(source):
    _edit(source / "sentence_bert_config.json", max_seq_length=512)
    assert read_architecture(source).max_tokens == 24


def test_window_without_a_setting_is_the_positions(source):
    (source / "sentence_bert_config.json").unlink()
    assert read_architecture(source).max_tokens == 24


def test_pooling_as_newer_releases_write_it(source):
    (source / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    assert read_architecture(source).pooling == "cls"


@pytest.mark.parametrize("kind", ["mpnet", "roberta", "distilbert", "qwen3"])
def test_another_model_type_is_named(source, kind):
    _edit(source / "config.json", model_type=kind)
    _unsupported(source, kind)


def test_no_model_type(source):
    _edit(source / "config.json", model_type=None, architectures=["Strange"])
    _unsupported(source, "Strange")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"position_embedding_type": "relative_key"}, "bert with relative_key positions"),
        ({"hidden_act": "swish"}, "bert with the activation swish"),
        ({"is_decoder": True}, "bert as a decoder"),
    ],
)
def test_other_berts(source, change, what):
    _edit(source / "config.json", **change)
    _unsupported(source, what)


@pytest.mark.parametrize("mode", ["max_tokens", "mean_sqrt_len_tokens"])
def test_other_poolings(source, mode):
    _edit(source / "1_Pooling" / "config.json", pooling_mode_mean_tokens=False)
    _edit(source / "1_Pooling" / "config.json", **{f"pooling_mode_{mode}": True})
    _unsupported(source, f"pooling by {mode}")


def test_two_poolings(source):
    _edit(source / "1_Pooling" / "config.json", pooling_mode_cls_token=True)
    _unsupported(source, "pooling by cls_token and mean_tokens")


def test_further_modules(source):
    modules = json.loads((source / "modules.json").read_text())
    modules.append({"path": "3_Dense", "type": "sentence_transformers.models.Dense"})
    (source / "modules.json").write_text(json.dumps(modules))
    _unsupported(source, "a model with a Dense module")


def test_no_pooling(source):
    modules = json.loads((source / "modules.json").read_text())
    (source / "modules.json").write_text(json.dumps(modules[:1]))
    _unsupported(source, "a model without a Transformer and a Pooling module")


def test_lower_casing_and_prompts(source):
    _edit(source / "sentence_bert_config.json", do_lower_case=True)
    _unsupported(source, "do_lower_case")
    _edit(source / "sentence_bert_config.json", do_lower_case=False)
    prompts = {"prompts": {"query": "query: ", "plain": ""}, "default_prompt_name": "query"}
    (source / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    _unsupported(source, 'a model with the default prompt "query"')
    _edit(source / "config_sentence_transformers.json", default_prompt_name="plain")
    assert read_architecture(source).hidden == 64


@pytest.mark.parametrize("file", ["config.json", "modules.json", "1_Pooling/config.json"])
def test_a_missing_or_broken_configuration(source, file):
    (source / file).write_text("{")
    with pytest.raises(MissingFileError, match=f"{file} cannot be read"):
        read_architecture(source)
    (source / file).unlink()
    with pytest.raises(MissingFileError, match=f"{file} cannot be read"):
        read_architecture(source)


def test_no_safetensors(source):
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    with pytest.raises(MissingFileError, match=r"model.safetensors is not there") as caught:
        read_weights(source)
    assert "pickle" in caught.value.detail


def test_damaged_weights(source):
    whole = (source / "model.safetensors").read_bytes()
    (source / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MissingFileError, match="is damaged"):
        read_weights(source)


def test_weights_of_another_configuration(source, tmp_path):
    _edit(source / "config.json", intermediate_size=96)
    with pytest.raises(InvalidArgumentError, match=r"of shape \[128, 64\] and should be of shape"):
        import_model(str(source), tmp_path / "models")


def test_missing_layer(source, tmp_path):
    _edit(source / "config.json", num_hidden_layers=3)
    with pytest.raises(InvalidArgumentError, match=r'"encoder.layer.2.* is missing'):
        import_model(str(source), tmp_path / "models")


def test_weights_with_a_prefix_and_in_half_precision(tmp_path):
    source = write_small_bert(tmp_path / "half")
    plain = read_weights(source)
    halves = {f"bert.{k}": v.astype(np.float16) for k, v in plain.items()}
    save_file(halves, source / "model.safetensors")
    read = read_weights(source)
    assert read.keys() == plain.keys()
    assert all(values.dtype == np.float32 for values in read.values())
