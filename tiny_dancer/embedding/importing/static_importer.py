"""From a model's name to a folder for the ``static`` provider."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
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
from tiny_dancer.embedding.provider import open_provider
from tiny_dancer.embedding.static import TABLE_FILE
from tiny_dancer.embedding.wordpiece import PIECE_PREFIX, UNKNOWN, WordPiece

DEFAULT_TEXTS = 20_000
# Practice texts that the fit does not see; the cosine that is reported is theirs.
_HELD_BACK = 500

Floats = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Floats]


def import_static(
    name_or_path: str,
    models_dir: Path,
    *,
    name: str | None = None,
    teacher: str = "onnx",
    texts: int = DEFAULT_TEXTS,
    settings: FitSettings | None = None,
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
            embed = _teacher(teacher, source, staging / "teacher", final_name, progress)
            table, cosine = fitted_table(
                vocabulary, embed, texts, settings or FitSettings(), progress
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


def _teacher(kind: str, source: ModelSource, staging: Path, name: str, progress: Progress) -> Embed:
    if kind == "sentence-transformers":
        from tiny_dancer.embedder.sentence_transformer import SentenceTransformerEngine

        progress.step("loading the teacher by sentence-transformers")
        engine = SentenceTransformerEngine(str(source.path), threads=1, name=name)
        return lambda texts: engine.embed(texts, 1)
    progress.step("making a teacher of it in fp32")
    architecture = read_architecture(source.path)
    conversion = Conversion(source, architecture, read_weights(source.path), name)
    folder, _ = conversion.write(staging, "fp32", Silent())
    return open_provider(folder, max_windows=1).embed_batch


def fitted_table(
    vocabulary: Vocabulary, embed: Embed, count: int, settings: FitSettings, progress: Progress
) -> tuple[Floats, float]:
    """Return the fitted table and its mean cosine to the teacher on texts held back."""
    tokens, word_pieces = vocabulary.tokens, vocabulary.word_pieces()
    texts = practice_texts(tokens, count)
    held_back = min(_HELD_BACK, len(texts) // 10)
    progress.step(f"embedding {len(tokens)} tokens")
    alone = _embedded([_as_text(token, word_pieces) for token in tokens], embed, progress)
    progress.step(f"embedding {len(texts)} texts")
    targets = centred(_embedded(texts, embed, progress))
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


def _as_text(token: str, word_pieces: WordPiece) -> str:
    """Return a text of this token; of the unknown one for a token that no text holds."""
    text = token.removeprefix(PIECE_PREFIX)
    return text if word_pieces.rows(text) else UNKNOWN


def _first_word(tokens: Sequence[str]) -> int:
    longer = (row for row, token in enumerate(tokens) if len(token) > 1 and token.isalpha())
    return next(longer, 0)


def _embedded(texts: Sequence[str], embed: Embed, progress: Progress) -> Floats:
    parts = []
    for part in _batched(texts, 32):
        parts.append(embed(part))
        progress.done(len(parts[0]) * (len(parts) - 1) + len(part), len(texts))
    return np.concatenate(parts)


def _batched(texts: Sequence[str], size: int) -> Iterator[list[str]]:
    iterator = iter(texts)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


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
