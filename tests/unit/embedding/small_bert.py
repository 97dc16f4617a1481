"""A small random BERT in the layout of sentence-transformers, and what it computes.

The forward pass is written from the paper in float64, on its own: it shares nothing with
the graph that it checks.
"""

import json
import math
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
COMMON = """
    the a of to how do i my reset password account order parcel write python function that
    two lists merge prove root summarise contract translate paragraph plan dinner side effect
    turn off light in kitchen at ten is this product blue why does query choose scan plot month
"""
PIECES = [
    *"abcdefghijklmnopqrstuvwxyz0123456789.,?!'",
    *(f"##{c}" for c in "abcdefghijklmnoprstuvwyz"),
]
VOCABULARY = [*SPECIAL, *dict.fromkeys([*COMMON.split(), *PIECES])]

CONFIG = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 64,
    "intermediate_size": 128,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 24,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "position_embedding_type": "absolute",
    "type_vocab_size": 2,
    "vocab_size": len(VOCABULARY),
}
MAX_TOKENS = 16


def write_small_bert(path: Path, *, pooling="mean_tokens", seed=0, **config) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    config = CONFIG | config
    _write_json(path / "config.json", config)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [
        {"idx": i, "name": str(i), "path": folder, "type": f"sentence_transformers.models.{kind}"}
        for i, (folder, kind) in enumerate(kinds)
    ]
    _write_json(path / "modules.json", modules)
    modes = ("cls_token", "mean_tokens", "max_tokens")
    _write_json(
        path / "1_Pooling" / "config.json",
        {f"pooling_mode_{mode}": mode == pooling for mode in modes}
        | {"word_embedding_dimension": config["hidden_size"]},
    )
    _write_json(path / "sentence_bert_config.json", {"max_seq_length": MAX_TOKENS})
    (path / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# small\n")
    (path / "LICENSE").write_text("The licence of the small model.\n")
    _tokenizer().save(str(path / "tokenizer.json"))
    save_file(_random_weights(config, seed), path / "model.safetensors")
    return path


def reference_vector(path: Path, ids: list[int], pooling="mean") -> np.ndarray:
    """The unit vector of token ids, special tokens included, in float64."""
    config = json.loads((path / "config.json").read_text())
    weights = {k: v.astype(np.float64) for k, v in load_file(path / "model.safetensors").items()}

    def dense(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x, name):
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred**2).mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt(variance + config["layer_norm_eps"])
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    x = np.stack([weights["embeddings.word_embeddings.weight"][i] for i in ids])
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        q, k, v = (dense(x, f"{name}.attention.self.{p}") for p in ("query", "key", "value"))
        context = np.empty_like(x)
        width = config["hidden_size"] // config["num_attention_heads"]
        for start in range(0, config["hidden_size"], width):
            head = slice(start, start + width)
            scores = np.exp(q[:, head] @ k[:, head].T / math.sqrt(width))
            context[:, head] = scores / scores.sum(axis=1, keepdims=True) @ v[:, head]
        attended = dense(context, f"{name}.attention.output.dense")
        x = norm(x + attended, f"{name}.attention.output.LayerNorm")
        wide = ACTIVATIONS[config["hidden_act"]](dense(x, f"{name}.intermediate.dense"))
        x = norm(x + dense(wide, f"{name}.output.dense"), f"{name}.output.LayerNorm")
    pooled = x.mean(axis=0) if pooling == "mean" else x[0]
    return pooled / np.linalg.norm(pooled)


def _tanh_gelu(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS = {
    "gelu": lambda x: 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    "gelu_new": _tanh_gelu,
    "gelu_pytorch_tanh": _tanh_gelu,
    "relu": lambda x: np.maximum(x, 0),
}


def _tokenizer() -> Tokenizer:
    vocabulary = {token: i for i, token in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    # As published tokenizers have it; the import must take both away.
    tokenizer.enable_padding(length=8)
    tokenizer.enable_truncation(8)
    return tokenizer


def _random_weights(config: dict, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    hidden, inner = config["hidden_size"], config["intermediate_size"]

    def normal(*shape, mean=0.0, scale=0.3):
        return random.normal(mean, scale, shape).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": normal(config["vocab_size"], hidden),
        "embeddings.position_embeddings.weight": normal(config["max_position_embeddings"], hidden),
        "embeddings.token_type_embeddings.weight": normal(config["type_vocab_size"], hidden),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        norms += [f"{name}.attention.output.LayerNorm", f"{name}.output.LayerNorm"]
        parts = [f"attention.self.{part}" for part in ("query", "key", "value")]
        shapes = dict.fromkeys([*parts, "attention.output.dense"], (hidden, hidden))
        shapes |= {"intermediate.dense": (inner, hidden), "output.dense": (hidden, inner)}
        for part, shape in shapes.items():
            weights[f"{name}.{part}.weight"] = normal(*shape)
            weights[f"{name}.{part}.bias"] = normal(shape[0])
    for name in norms:
        weights[f"{name}.weight"] = normal(hidden, mean=1.0, scale=0.1)
        weights[f"{name}.bias"] = normal(hidden, scale=0.1)
    return weights


def _write_json(path: Path, value) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))
