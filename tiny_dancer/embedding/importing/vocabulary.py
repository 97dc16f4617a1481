"""The vocabulary of a WordPiece tokenizer, as the ``static`` provider keeps it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tiny_dancer.embedding.onnx import TOKENIZER_FILE
from tiny_dancer.embedding.static import VOCABULARY_FILE
from tiny_dancer.embedding.wordpiece import (
    MOST_CHARACTERS_OF_WORD,
    PIECE_PREFIX,
    UNKNOWN,
    Spelling,
    WordPiece,
)
from tiny_dancer.errors import InvalidArgumentError, MissingFileError


@dataclass(frozen=True)
class Vocabulary:
    """Tokens and how text is spelled in them.

    Attributes:
        tokens: the frequent ones first, as BERT's vocabularies are; no special ones but
            ``[UNK]``.
        spelling: of the tokens.
        ids: which row each token has in the tokenizer it was taken from.
    """

    tokens: tuple[str, ...]
    spelling: Spelling
    ids: tuple[int, ...]

    def word_pieces(self) -> WordPiece:
        """Return what cuts text into these tokens."""
        return WordPiece({token: row for row, token in enumerate(self.tokens)}, self.spelling)

    def write(self, folder: Path) -> None:
        """Write the file that the provider reads."""
        stored = {"spelling": asdict(self.spelling), "tokens": self.tokens}
        text = json.dumps(stored, ensure_ascii=False, separators=(",", ":"))
        (folder / VOCABULARY_FILE).write_text(text, encoding="utf-8")


def read_vocabulary(path: Path) -> Vocabulary:
    """Read the vocabulary of a model's tokenizer.

    Args:
        path: folder with a ``tokenizer.json``.

    Raises:
        MissingFileError: there is none, or it is not JSON.
        InvalidArgumentError: it is not the tokenizer of a BERT.
    """
    file = path / TOKENIZER_FILE
    try:
        tokenizer = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MissingFileError(
            f"{file} cannot be read",
            detail=f"{error}.",
            hint="Save the model again with a current sentence-transformers.",
        ) from error
    return parse_vocabulary(tokenizer)


def parse_vocabulary(tokenizer: Any) -> Vocabulary:
    """Return the vocabulary of a tokenizer.

    Args:
        tokenizer: contents of a ``tokenizer.json``.

    Raises:
        InvalidArgumentError: it is not the tokenizer of a BERT.
    """
    try:
        model, normaliser = tokenizer["model"], tokenizer["normalizer"]
        _require(model["type"] == "WordPiece", f"tokens of type {model['type']}")
        _require(model["continuing_subword_prefix"] == PIECE_PREFIX, "another prefix of pieces")
        _require(model["unk_token"] == UNKNOWN, f"an unknown token {model['unk_token']!r}")
        most = model["max_input_chars_per_word"]
        _require(most == MOST_CHARACTERS_OF_WORD, f"words of up to {most} characters")
        splitter = tokenizer["pre_tokenizer"]["type"]
        _require(splitter == "BertPreTokenizer", f"words as {splitter} finds them")
        spelling = _spelling(normaliser)
        ids = dict(sorted(model["vocab"].items(), key=lambda token_and_id: int(token_and_id[1])))
        special = {added["content"] for added in tokenizer.get("added_tokens", [])} - {UNKNOWN}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InvalidArgumentError(
            f"tokenizer is not supported: {error!r} is missing or of another form",
            hint="Use a model with the tokenizer of a BERT.",
        ) from error
    _require(UNKNOWN in ids, "no unknown token")
    kept = [token for token in ids if token not in special and not token.startswith("[unused")]
    return Vocabulary(tuple(kept), spelling, tuple(int(ids[token]) for token in kept))


def _spelling(normaliser: Any) -> Spelling:
    kind = normaliser["type"]
    _require(kind == "BertNormalizer" and normaliser["clean_text"], f"text as {kind} changes it")
    lowercase, accents = bool(normaliser["lowercase"]), normaliser["strip_accents"]
    return Spelling(
        lowercase=lowercase,
        strip_accents=lowercase if accents is None else bool(accents),
        split_ideographs=bool(normaliser["handle_chinese_chars"]),
    )


def _require(holds: bool, found: str) -> None:
    if not holds:
        raise InvalidArgumentError(
            f"tokenizer is not supported: it has {found}",
            hint="Use a model with the tokenizer of a BERT.",
        )
