"""Reading what kind of model a sentence-transformers folder holds, and refusing the rest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiny_dancer.errors import InvalidArgumentError, MissingFileError

SUPPORTED = (
    "Supported are BERT encoders (model_type bert, absolute positions) with mean or cls "
    "pooling and no further layers."
)
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")
_MODULES = {"Transformer", "Pooling", "Normalize"}


@dataclass(frozen=True)
class BertArchitecture:
    """The numbers of a BERT encoder and its pooling.

    Attributes:
        layers: number of encoder layers.
        heads: attention heads per layer.
        hidden: width of a token vector, and of the embedding.
        intermediate: width inside the feed-forward part.
        vocabulary: number of token ids.
        positions: rows of the position table.
        token_types: rows of the token type table.
        layer_norm_eps: as in the layer normalisation.
        activation: of the feed-forward part, one of `ACTIVATIONS`.
        max_tokens: the window, special tokens included.
        pooling: ``mean`` over all tokens or the first, ``cls``.
    """

    layers: int
    heads: int
    hidden: int
    intermediate: int
    vocabulary: int
    positions: int
    token_types: int
    layer_norm_eps: float
    activation: str
    max_tokens: int
    pooling: str


def read_architecture(path: Path) -> BertArchitecture:
    """Read the architecture of a model in the layout of sentence-transformers.

    Args:
        path: the folder with ``config.json``; ``modules.json``, ``1_Pooling/config.json``
            and ``sentence_bert_config.json`` as sentence-transformers writes them.

    Returns:
        The architecture.

    Raises:
        MissingFileError: a configuration file is missing or not JSON.
        InvalidArgumentError: the architecture is not supported; the message names it.
    """
    config = _read_object(path, "config.json")
    _require_bert(config)
    _require_no_prompt(path)
    modules = _module_folders(path)
    sentence = _read_json_if_there(path, "sentence_bert_config.json")
    if sentence.get("do_lower_case"):
        raise _unsupported("do_lower_case in sentence_bert_config.json")
    positions = int(config["max_position_embeddings"])
    return BertArchitecture(
        layers=int(config["num_hidden_layers"]),
        heads=int(config["num_attention_heads"]),
        hidden=int(config["hidden_size"]),
        intermediate=int(config["intermediate_size"]),
        vocabulary=int(config["vocab_size"]),
        positions=positions,
        token_types=int(config["type_vocab_size"]),
        layer_norm_eps=float(config["layer_norm_eps"]),
        activation=str(config["hidden_act"]),
        max_tokens=min(int(sentence.get("max_seq_length") or positions), positions),
        pooling=_read_pooling(path / modules["Pooling"]),
    )


def _require_bert(config: dict[str, Any]) -> None:
    if config.get("model_type") != "bert":
        kind = config.get("model_type") or (config.get("architectures") or ["unknown"])[0]
        raise _unsupported(str(kind))
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise _unsupported(f"bert with {config['position_embedding_type']} positions")
    if config.get("hidden_act") not in ACTIVATIONS:
        raise _unsupported(f"bert with the activation {config.get('hidden_act')}")
    if config.get("is_decoder"):
        raise _unsupported("bert as a decoder")


def _require_no_prompt(path: Path) -> None:
    config = _read_json_if_there(path, "config_sentence_transformers.json")
    name = config.get("default_prompt_name")
    if name and (config.get("prompts") or {}).get(name):
        raise _unsupported(f'a model with the default prompt "{name}"')


def _module_folders(path: Path) -> dict[str, str]:
    """Map the last part of each module's class to its folder."""
    modules = _read_json(path, "modules.json")
    folders = {}
    for module in modules if isinstance(modules, list) else []:
        kind = str(module["type"]).rpartition(".")[2]
        if kind not in _MODULES:
            raise _unsupported(f"a model with a {kind} module")
        folders[kind] = str(module["path"])
    if "Transformer" not in folders or "Pooling" not in folders:
        raise _unsupported("a model without a Transformer and a Pooling module")
    if folders["Transformer"]:
        raise _unsupported(f"a model with its transformer in {folders['Transformer']}")
    return folders


def _read_pooling(path: Path) -> str:
    config = _read_object(path, "config.json")
    modes = sorted(
        key.removeprefix("pooling_mode_")
        for key, value in config.items()
        if key.startswith("pooling_mode_") and value
    )
    # Newer releases of sentence-transformers write the name of the mode instead of flags.
    if isinstance(config.get("pooling_mode"), str):
        modes = [config["pooling_mode"]]
    match modes:
        case ["mean_tokens"] | ["mean"]:
            return "mean"
        case ["cls_token"] | ["cls"]:
            return "cls"
    raise _unsupported(f"pooling by {' and '.join(modes) or 'nothing'}")


def _read_json(path: Path, name: str) -> object:
    try:
        return json.loads((path / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MissingFileError(
            f"{path / name} cannot be read",
            detail=f"{error}",
            hint="Pass a folder that sentence-transformers saved, or the name of a model.",
        ) from error


def _read_json_if_there(path: Path, name: str) -> dict[str, Any]:
    if not (path / name).exists():
        return {}
    return _read_object(path, name)


def _read_object(path: Path, name: str) -> dict[str, Any]:
    value = _read_json(path, name)
    if not isinstance(value, dict):
        raise MissingFileError(f"{path / name} is not a JSON object")
    return value


def _unsupported(what: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"model architecture is not supported: {what}",
        detail=SUPPORTED,
        hint="Choose another model, or embed outside and pass the argument embedding.",
    )
