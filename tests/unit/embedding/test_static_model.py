"""A token table: fitted to a small teacher, written, read, damaged."""

import json
import random
import re
import string

import numpy as np
import pytest
from safetensors.numpy import save_file
from small_bert import VOCABULARY

from tiny_dancer.embedding.importing.importer import import_model
from tiny_dancer.embedding.importing.practice_texts import practice_texts
from tiny_dancer.embedding.importing.static_fit import (
    FitSettings,
    fit_table,
    mean_cosine_to,
    quantise_table,
    start_table,
)
from tiny_dancer.embedding.importing.static_importer import (
    fitted_table,
    import_static,
    write_static_folder,
)
from tiny_dancer.embedding.importing.vocabulary import Vocabulary, parse_vocabulary, read_vocabulary
from tiny_dancer.embedding.model_folder import read_model_folder
from tiny_dancer.embedding.provider import open_provider
from tiny_dancer.embedding.wordpiece import Spelling
from tiny_dancer.errors import InvalidArgumentError, MissingFileError
from tiny_dancer.starting_corpus import corpus

TEXTS = ["reset my password", "how do I write a python function", "é€😀 unknown", "a " * 9000]
TOKENS = ("[UNK]", "one", "two", "three", "##s")


@pytest.fixture(scope="module")
def small_static(small_bert, tmp_path_factory):
    steps = Steps()
    made = import_static(
        str(small_bert),
        tmp_path_factory.mktemp("models"),
        texts=400,
        settings=FitSettings(epochs=3),
        progress=steps,
    )
    return made, steps


class Steps:
    def __init__(self):
        self.steps, self.last = [], {}

    def step(self, description):
        self.steps.append(description)

    def downloaded(self, total_bytes):
        raise AssertionError("nothing is downloaded from a folder")

    def done(self, done, total):
        self.last[self.steps[-1]] = (done, total)


@pytest.fixture
def written(tmp_path):
    """A folder with a table whose directions are known."""
    folder = tmp_path / "written"
    folder.mkdir()
    table = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=np.float32)
    vocabulary = Vocabulary(TOKENS, Spelling(), tuple(range(5)))
    write_static_folder(folder, vocabulary, table, source="here", licence="mit", notice="MIT\n")
    return folder


def test_an_import_says_what_it_did_and_what_came_of_it(small_static, small_bert):
    made, steps = small_static
    manifest = made.folder.manifest
    assert made.folder.path.name == manifest.name == "small-bert-static"
    assert (manifest.provider, manifest.precision, manifest.max_tokens) == ("static", "int8", 0)
    assert manifest.dimension == 64
    assert "small-bert" in (made.folder.path / "LICENCE.txt").read_text()
    assert -1.0 <= made.cosine <= 1.0
    assert all(done == total > 0 for done, total in steps.last.values())
    assert {step.split()[0] for step in steps.steps} >= {"embedding", "fitting", "putting"}
    assert [entry.name for entry in made.folder.path.parent.iterdir()] == ["small-bert-static"]


def test_the_same_import_gives_the_same_files(small_static, small_bert, tmp_path):
    again = import_static(
        str(small_bert),
        tmp_path,
        name="again",
        texts=400,
        settings=FitSettings(epochs=3),
        threads=3,
    )
    assert again.folder.manifest.checksum == small_static[0].folder.manifest.checksum


@pytest.fixture(scope="module")
def words():
    """A vocabulary of the starting corpus."""
    found = {
        word for request in corpus.load() for word in re.findall("[a-z]+", request.text.lower())
    }
    letters = string.ascii_lowercase
    tokens = (
        "[UNK]",
        *letters,
        *(f"##{letter}" for letter in letters),
        *sorted(found - set(letters)),
    )
    return Vocabulary(tokens, Spelling(), tuple(range(len(tokens))))


def test_a_table_learns_what_its_teacher_says(words):
    """The teacher adds up rows of its own, and a vector that all texts share."""
    secret = np.random.default_rng(5).standard_normal((len(words.tokens), 16)).astype(np.float32)
    cut = words.word_pieces()

    class Sums:
        def embed_all(self, texts, on_done):
            sums = np.stack([secret[cut.rows(text)].sum(axis=0) for text in texts])
            vectors = sums / np.linalg.norm(sums, axis=1, keepdims=True) + 0.5
            on_done(len(texts), len(texts))
            return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    _, before = fitted_table(words, Sums(), 3000, FitSettings(epochs=0), Steps())
    _, after = fitted_table(words, Sums(), 3000, FitSettings(), Steps())
    assert after > before + 0.05
    assert after > 0.85


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:20])
def test_vectors_have_unit_length_whatever_else_is_embedded(small_static, text):
    provider = open_provider(small_static[0].folder)
    assert (provider.name, provider.dimension) == ("small-bert-static", 64)
    vector = provider.embed(text)
    assert (vector.dtype, vector.shape) == (np.float32, (64,))
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)
    batch = provider.embed_batch([*TEXTS, text])
    np.testing.assert_array_equal(batch[-1], vector)


def test_the_vector_is_the_direction_of_the_sum(written):
    provider = open_provider(written)
    np.testing.assert_allclose(provider.embed("One two"), [0.5**0.5, 0.5**0.5, 0.0], atol=1e-6)
    np.testing.assert_allclose(provider.embed("three"), [0.5**0.5, 0.5**0.5, 0.0], atol=1e-6)
    np.testing.assert_allclose(provider.embed("ones"), [0.5**0.5, 0.0, 0.5**0.5], atol=1e-6)
    np.testing.assert_array_equal(provider.embed("one two"), provider.embed("two one"))


def test_all_of_a_long_text_counts(written):
    provider = open_provider(written)
    long = provider.embed("one " * 50_000 + "two " * 100_000)
    np.testing.assert_allclose(long, np.array([1, 2, 0]) / 5**0.5, atol=1e-6)


@pytest.mark.parametrize("text", ["", " \n", "\x00\x1f", "\u200b"])
def test_text_without_a_token(written, text):
    with pytest.raises(InvalidArgumentError):
        open_provider(written).embed(text)


def test_unknown_words_alone_have_no_direction_where_their_row_is_zero(written):
    with pytest.raises(InvalidArgumentError, match="zeros"):
        open_provider(written).embed("nothing known")


def refresh(folder):
    """Make the manifest agree with what was done to the files."""
    manifest = json.loads((folder / "model.json").read_text())
    for name in manifest["files"]:
        manifest["files"][name]["bytes"] = (folder / name).stat().st_size
    (folder / "model.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("table.npy", b"garbage"),
        ("table.npy", b""),
        ("vocabulary.json", b"{}"),
        ("vocabulary.json", b"[1, 2"),
        ("vocabulary.json", b'{"spelling": {"colour": true}, "tokens": []}'),
        ("vocabulary.json", b'{"spelling": {}, "tokens": ["[UNK]", "a"]}'),
        ("vocabulary.json", b'{"spelling": {}, "tokens": ["a", "b", "c", "d", "e"]}'),
        ("vocabulary.json", b"\xff\xfe"),
    ],
)
def test_damaged_files_are_named(written, name, contents):
    (written / name).write_bytes(contents)
    refresh(written)
    with pytest.raises(MissingFileError, match=name) as caught:
        open_provider(written)
    assert "--as static" in caught.value.hint


@pytest.mark.parametrize(
    "table", [np.zeros((5, 3)), np.zeros(15, np.int8), np.zeros((5, 4), np.int8)]
)
def test_a_table_of_another_form(written, table):
    np.save(written / "table.npy", table)
    refresh(written)
    with pytest.raises(MissingFileError, match=r"table\.npy"):
        open_provider(written)


def test_a_pickled_table_is_never_loaded(written):
    np.save(written / "table.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    refresh(written)
    with pytest.raises(MissingFileError, match=r"table\.npy"):
        open_provider(written)


def test_the_table_is_mapped_and_not_read(small_static):
    provider = open_provider(small_static[0].folder)
    assert isinstance(provider._table.base, np.memmap)
    assert not provider._table.flags.writeable


def test_fitting_recovers_a_table_that_made_the_targets():
    random_numbers = np.random.default_rng(0)
    true = random_numbers.standard_normal((40, 12)).astype(np.float32)
    choice = random.Random(0)
    rows = [choice.choices(range(40), k=choice.randint(1, 8)) for _ in range(2000)]
    targets = np.stack([true[of_text].sum(axis=0) for of_text in rows])
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    start = random_numbers.standard_normal((40, 12)).astype(np.float32)
    told = []
    settings = FitSettings(epochs=40, batch=100, learning_rate=0.05)
    table = fit_table(start, rows, targets, settings, on_step=lambda *step: told.append(step))
    assert mean_cosine_to(start, rows, targets) < 0.5
    assert mean_cosine_to(table, rows, targets) > 0.99
    assert told[-1] == (800, 800)


def test_rows_that_no_text_touches_stay():
    start = np.eye(4, dtype=np.float32)
    targets = np.array([[0, 1, 0, 0]], dtype=np.float32)
    table = fit_table(start, [[0, 0, 2]], targets, FitSettings(epochs=5))
    np.testing.assert_array_equal(table[[1, 3]], start[[1, 3]])
    assert not np.array_equal(table[0], start[0])


def test_the_start_is_longer_for_rarer_tokens():
    table = start_table(np.tile([[1.0, 0.0], [-1.0, 0.0]], (5, 1)).astype(np.float32), 3)
    lengths = np.linalg.norm(table, axis=1)
    assert (np.diff(lengths[4:]) > 0).all()
    assert (lengths > 0).all()


def test_rounding_keeps_directions():
    table = np.random.default_rng(1).standard_normal((50, 64)).astype(np.float32)
    rounded = quantise_table(table).astype(np.float32)
    products = (table * rounded).sum(axis=1)
    cosines = products / np.linalg.norm(table, axis=1) / np.linalg.norm(rounded, axis=1)
    assert cosines.min() > 0.999
    assert np.abs(quantise_table(table)).max() == 127


def test_practice_texts_are_the_same_each_time_and_of_our_own():
    tokens = [*VOCABULARY, *(f"word{i:c}" for i in range(97, 123))]
    texts = practice_texts(tokens, 2500)
    assert len(texts) == 2500
    assert texts == practice_texts(tokens, 2500)
    assert len(set(texts)) > 2100
    assert all(text.strip() for text in texts)
    assert practice_texts(tokens, 3) == texts[:3]


def model2vec(folder, **arrays):
    folder.mkdir()
    tokenizer = {
        "added_tokens": [{"content": "[PAD]"}, {"content": "[UNK]"}],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {"[PAD]": 0, "[UNK]": 1, "one": 2, "two": 3},
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "config.json").write_text('{"model_type": "model2vec", "normalize": true}')
    save_file(arrays, folder / "model.safetensors")
    return folder


def test_a_folder_of_model2vec_is_taken_as_it_is(tmp_path):
    vectors = np.array([[9, 9], [8, 8], [1, 0], [0, 1]], dtype=np.float32)
    folder = model2vec(tmp_path / "m2v", embeddings=vectors)
    provider = open_provider(import_static(str(folder), tmp_path / "models").folder)
    np.testing.assert_allclose(provider.embed("one unknown"), [1, 0], atol=1e-6)
    np.testing.assert_allclose(provider.embed("one two"), [0.5**0.5] * 2, atol=1e-6)


def test_weights_and_mapping_of_model2vec(tmp_path):
    arrays = {
        "embeddings": np.array([[1, 0], [0, 1]], dtype=np.float16),
        "mapping": np.array([0, 0, 0, 1], dtype=np.int64),
        "weights": np.array([1, 1, 3, 4], dtype=np.float64),
    }
    folder = model2vec(tmp_path / "m2v", **arrays)
    made = import_static(str(folder), tmp_path / "models", name="weighted")
    np.testing.assert_allclose(open_provider(made.folder).embed("two one"), [0.6, 0.8], atol=5e-3)


@pytest.mark.parametrize(
    "arrays",
    [
        {"weights": np.ones(4, np.float32)},
        {"embeddings": np.ones((3, 2), np.float32)},
        {"embeddings": np.full((4, 2), np.nan, np.float32)},
        {"embeddings": np.ones((4, 2), np.float32), "mapping": np.array([0, 1, 2, 9])},
    ],
)
def test_a_folder_of_model2vec_that_is_not_consistent(tmp_path, arrays):
    folder = model2vec(tmp_path / "m2v", **arrays)
    with pytest.raises(InvalidArgumentError, match="not consistent"):
        import_static(str(folder), tmp_path / "models")
    assert not list((tmp_path / "models").iterdir())


def test_the_vocabulary_leaves_special_tokens_out(tmp_path):
    vectors = np.ones((4, 2), dtype=np.float32)
    vocabulary = read_vocabulary(model2vec(tmp_path / "m2v", embeddings=vectors))
    assert vocabulary.tokens == ("[UNK]", "one", "two")
    assert vocabulary.ids == (1, 2, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"type": "Unigram"}},
        {"model": None},
        {"normalizer": None},
        {"pre_tokenizer": {"type": "Metaspace"}},
    ],
)
def test_other_tokenizers_are_refused(small_bert, change):
    tokenizer = json.loads((small_bert / "tokenizer.json").read_text()) | change
    with pytest.raises(InvalidArgumentError, match="tokenizer is not supported"):
        parse_vocabulary(tokenizer)


def test_a_static_model_replaces_one_of_its_name(small_bert, tmp_path):
    import_model(str(small_bert), tmp_path, name="same")
    import_static(str(small_bert), tmp_path, name="same", texts=50, settings=FitSettings(epochs=0))
    assert read_model_folder(tmp_path / "same").manifest.provider == "static"
