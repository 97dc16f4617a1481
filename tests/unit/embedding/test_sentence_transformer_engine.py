"""The embedder's other engine, against our own graph of the same model in fp32.

Needs an environment with sentence-transformers; test_against_sentence_transformers.py says how.
"""

import shutil

import numpy as np
import pytest

from tiny_dancer.embedder.sentence_transformer import SentenceTransformerEngine
from tiny_dancer.embedding.importing.static_fit import FitSettings
from tiny_dancer.embedding.importing.static_importer import import_static
from tiny_dancer.embedding.provider import open_provider
from tiny_dancer.errors import InvalidArgumentError, MissingFileError

pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")

SHORT = ["reset my password", "how do I write a python function", "plan dinner"]
LONG = ["turn off the light in the kitchen " * 9, "a b c " * 40]


@pytest.fixture(scope="module")
def engine(small_bert):
    return SentenceTransformerEngine(str(small_bert), threads=1)


def test_its_identity_depends_on_what_decides_the_vectors_alone(engine, small_bert, tmp_path):
    moved = shutil.copytree(small_bert, tmp_path / "elsewhere")
    (moved / "README.md").write_text("another card")
    (moved / ".cache").mkdir()
    (moved / ".cache" / "x.json").write_text("{}")
    again = SentenceTransformerEngine(str(moved), threads=1, name="other")
    assert engine.identity.name == small_bert.name
    assert (again.identity.name, again.identity.dimension) == ("other", 64)
    assert again.identity.checksum == engine.identity.checksum
    (moved / "sentence_bert_config.json").write_text('{"max_seq_length": 12}')
    shorter = SentenceTransformerEngine(str(moved), threads=1)
    assert shorter.identity.checksum != engine.identity.checksum


@pytest.mark.parametrize("max_windows", [1, 4])
def test_the_vectors_are_those_of_our_graph(engine, small_models, max_windows):
    ours = open_provider(small_models / "small-fp32", max_windows=max_windows)
    theirs = engine.embed([*SHORT, *LONG], max_windows)
    assert theirs.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(theirs, axis=1), 1.0, atol=1e-5)
    cosines = (theirs * ours.embed_batch([*SHORT, *LONG])).sum(axis=1)
    assert cosines[: len(SHORT)].min() > 0.9999
    # A window that begins inside a word is another word to a tokenizer.
    assert cosines.min() > 0.99


def test_a_text_alone_and_in_a_batch_is_the_same_but_for_rounding(engine):
    together = engine.embed([*SHORT, *LONG], 4)
    alone = np.concatenate([engine.embed([text], 4) for text in [*SHORT, *LONG]])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_text_without_a_token(engine):
    with pytest.raises(InvalidArgumentError, match="no token"):
        engine.embed(["fine", "\u200b"], 4)


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(MissingFileError, match="cannot load"):
        SentenceTransformerEngine(str(tmp_path / "none"), threads=1)


def test_it_can_teach_a_table(small_bert, tmp_path):
    made = import_static(
        str(small_bert),
        tmp_path,
        teacher="sentence-transformers",
        texts=60,
        settings=FitSettings(epochs=1),
    )
    assert open_provider(made.folder).embed("reset my password").shape == (64,)
