"""Bringing a tokenizer into the form the provider expects."""

from __future__ import annotations

from pathlib import Path

from tiny_dancer.embedding.importing.required_packages import require_package
from tiny_dancer.embedding.onnx import TOKENIZER_FILE
from tiny_dancer.errors import MissingFileError


def write_tokenizer(source: Path, target: Path) -> None:
    """Copy a ``tokenizer.json`` without its padding and truncation.

    The provider cuts windows itself and never pads. Written by the library rather than
    copied, so that the same tokenizer gives the same bytes wherever it was fetched.

    Args:
        source: folder of the fetched model.
        target: folder to write to.

    Raises:
        MissingFileError: the source has none, or it cannot be read.
    """
    tokenizers = require_package("tokenizers")
    file = source / TOKENIZER_FILE
    if not file.is_file():
        raise MissingFileError(
            f"{file} is not there",
            hint="Save the model again with a current sentence-transformers.",
        )
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(file))
    # tokenizers raises bare Exception for a file it cannot parse.
    except Exception as error:
        raise MissingFileError(f"{file} cannot be read", detail=f"{error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(target / TOKENIZER_FILE), pretty=False)
