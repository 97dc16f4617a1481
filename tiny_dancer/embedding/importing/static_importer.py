"""From a model's name to a folder for the ``static`` provider."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedding.importing.architecture import read_architecture
from tiny_dancer.embedding.importing.folder_replacement import replace_folder
from tiny_dancer.embedding.importing.importer import Conversion, ImportedModel
from tiny_dancer.embedding.importing.model2vec_folder import is_model2vec, read_model2vec
from tiny_dancer.embedding.importing.practice_texts import practice_texts
from tiny_dancer.embedding.importing.progress import Progress, Silent
from tiny_dancer.embedding.importing.source import ModelSource
from tiny_dancer.embedding.importing.sources import fetch_model
from tiny_dancer.embedding.importing.staging import make_readable, staging_folder
from tiny_dancer.embedding.importing.static_fit import (
    FitSettings,
    centred,
    fit_table,
    mean_cosine_to,
    quantise_table,
    start_table,
)
from tiny_dancer.embedding.importing.teacher import OnnxTeacher, Teacher
from tiny_dancer.embedding.importing.vocabulary import Vocabulary, read_vocabulary
from tiny_dancer.embedding.importing.weights import read_weights
from tiny_dancer.embedding.model_folder import (
    LICENCE_FILE,
    Manifest,
    read_model_folder,
    record_files,
    validate_model_name,
    write_manifest,
)
from tiny_dancer.embedding.static import TABLE_FILE
from tiny_dancer.embedding.wordpiece import PIECE_PREFIX, UNKNOWN, WordPiece

# Four times as many come a little nearer to the teacher, and tell what people ask apart no better.
DEFAULT_TEXTS = 5_000
# Practice texts that the fit does not see; the cosine that is reported is theirs.
_HELD_BACK = 500
# In one call of sentence-transformers.
_BATCH = 32

Floats = NDArray[np.float32]


def import_static(
    name_or_path: str,
    models_dir: Path,
    *,
    name: str | None = None,
    teacher: str = "onnx",
    texts: int = DEFAULT_TEXTS,
    settings: FitSettings | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> ImportedModel:
    """Fit a token table to a model and put it among the models, replacing one of its name.

    Args:
        name_or_path: a model as `tiny_dancer.embedding.importing.sources.fetch_model` takes it,
            or a folder that Model2Vec saved, whose table is taken as it is.
        models_dir: the folder that holds the models; made if it is not there.
        name: the model's name; by default the last part of ``name_or_path`` and ``-static``.
        teacher: what runs the model: ``onnx``, or ``sentence-transformers`` for architectures
            that cannot be converted.
        texts: how many practice texts the teacher embeds.
        settings: of the fit.
        threads: cores that run the teacher; by default all that this process may use.
        progress: hears of the steps.

    Returns:
        The model in its place, and its mean cosine to the teacher (without the mean of its
        vectors) on practice texts held back.

    Raises:
        InvalidArgumentError: the name is not valid, or the model or its tokenizer not supported.
        UnknownObjectError: there is no such model.
        MissingFileError: it could not be fetched, or is damaged.
    """
    final_name = validate_model_name(name or f"{Path(name_or_path).name}-static")
    progress = progress or Silent()
    with staging_folder(models_dir, final_name) as staging:
        fetched = staging / "fetched"
        fetched.mkdir()
        source = fetch_model(name_or_path, fetched, progress)
        if is_model2vec(source.path):
            progress.step("reading the table")
            vocabulary, table = read_model2vec(source.path)
            cosine = 1.0
        else:
            vocabulary = read_vocabulary(source.path)
            cores = threads or len(os.sched_getaffinity(0))
            table, cosine = fitted_table(
                vocabulary,
                _teacher(teacher, source, staging, final_name, cores, progress),
                texts,
                settings or FitSettings(),
                progress,
            )
        folder = staging / "model" / final_name
        folder.mkdir(parents=True)
        write_static_folder(
            folder,
            vocabulary,
            table,
            source=source.origin,
            licence=source.licence,
            notice=source.licence_text(),
        )
        progress.step("putting it in its place")
        replace_folder(folder, models_dir / final_name)
    return ImportedModel(read_model_folder(models_dir / final_name, verify="sha256"), cosine)


def _teacher(
    kind: str, source: ModelSource, staging: Path, name: str, threads: int, progress: Progress
) -> Teacher:
    if kind == "sentence-transformers":
        progress.step("loading the teacher by sentence-transformers")
        return _SentenceTransformerTeacher(str(source.path), threads)
    progress.step("making a teacher of it in fp32")
    architecture = read_architecture(source.path)
    conversion = Conversion(source, architecture, read_weights(source.path), name)
    return OnnxTeacher(conversion.write_teacher(staging), threads=threads)


class _SentenceTransformerTeacher:
    """A model run by sentence-transformers; see `Teacher`."""

    def __init__(self, path: str, threads: int) -> None:
        from tiny_dancer.embedder.sentence_transformer import SentenceTransformerEngine

        self._engine = SentenceTransformerEngine(path, threads=threads, name="teacher")

    def embed_all(self, texts: Sequence[str], on_done: Callable[[int, int], None]) -> Floats:
        parts = []
        for first in range(0, len(texts), _BATCH):
            parts.append(self._engine.embed(texts[first : first + _BATCH], 1))
            on_done(min(first + _BATCH, len(texts)), len(texts))
        return np.concatenate(parts)


def fitted_table(
    vocabulary: Vocabulary,
    teacher: Teacher,
    count: int,
    settings: FitSettings,
    progress: Progress,
) -> tuple[Floats, float]:
    """Return the fitted table and its mean cosine to the teacher on texts held back."""
    tokens, word_pieces = vocabulary.tokens, vocabulary.word_pieces()
    texts = practice_texts(tokens, count)
    held_back = min(_HELD_BACK, len(texts) // 10)
    progress.step(f"embedding {len(tokens)} tokens")
    alone = _tokens_alone(tokens, word_pieces, teacher, progress)
    progress.step(f"embedding {len(texts)} texts")
    targets = centred(teacher.embed_all(texts, progress.done))
    rows = [word_pieces.rows(text) for text in texts]
    progress.step("fitting the table")
    table = fit_table(
        start_table(alone, _first_word(tokens)),
        rows[held_back:],
        targets[held_back:],
        settings,
        on_step=progress.done,
    )
    return table, mean_cosine_to(table, rows[:held_back], targets[:held_back])


def _tokens_alone(
    tokens: Sequence[str], word_pieces: WordPiece, teacher: Teacher, progress: Progress
) -> Floats:
    """Return the teacher's vector of each token; of those that are the same text, made once."""
    texts = [_as_text(token, word_pieces) for token in tokens]
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    vectors = teacher.embed_all(list(places), progress.done)
    return vectors[[places[text] for text in texts]]


def _as_text(token: str, word_pieces: WordPiece) -> str:
    """Return a text of this token; of the unknown one for a token that no text holds."""
    text = token.removeprefix(PIECE_PREFIX)
    return text if word_pieces.rows(text) else UNKNOWN


def _first_word(tokens: Sequence[str]) -> int:
    longer = (row for row, token in enumerate(tokens) if len(token) > 1 and token.isalpha())
    return next(longer, 0)


def write_static_folder(
    folder: Path, vocabulary: Vocabulary, table: Floats, *, source: str, licence: str, notice: str
) -> None:
    """Write all files of a model.

    Args:
        folder: an empty folder, of the model's name.
        vocabulary: one token a row of the table.
        table: shape [tokens, dimension]; what is written is rounded to 8 bits.
        source: where the weights came from.
        licence: of the weights.
        notice: text of the licence file.
    """
    np.save(folder / TABLE_FILE, quantise_table(table), allow_pickle=False)
    vocabulary.write(folder)
    (folder / LICENCE_FILE).write_text(notice, encoding="utf-8")
    manifest = Manifest(
        name=folder.name,
        provider="static",
        precision="int8",
        dimension=table.shape[1],
        max_tokens=0,
        pooling="mean",
        normalise=True,
        source=source,
        licence=licence,
        files=record_files(folder),
    )
    write_manifest(folder, manifest)
    make_readable(folder)
