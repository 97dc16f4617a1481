"""Writing a BERT encoder, its pooling and the normalisation as one ONNX graph.

The graph takes the ids of one text, shape [1, tokens], and returns one vector of unit norm,
shape [hidden]. One text per call is how vectors are embedded everywhere here, so there is
no padding, hence no attention mask to pass: every token attends to every token, which is
what a mask of ones says. For the same reason all token types are 0, and their row is added
to the position table once, here. A graph for several texts at once, all of the same length, is
made where a model has to embed a great many (``teacher``).

The operators are ONNX's where they are enough and onnxruntime's fused ones elsewhere
(domain ``com.microsoft``: MultiHeadAttention, SkipLayerNormalization, Gelu,
DynamicQuantizeMatMul). Writing them out leaves the optimiser nothing to do when a backend
loads the graph, and makes the file the same for every version of onnxruntime that wrote it.

The architecture: Devlin et al., "BERT", NAACL 2019. Its int8 form follows the dynamic
quantisation of onnxruntime: activations are scaled per call, weights ahead (``quantise``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedding.importing.architecture import BertArchitecture
from tiny_dancer.embedding.importing.quantise import (
    TABLE_LIMIT,
    WEIGHT_LIMIT,
    quantise_columns,
)
from tiny_dancer.embedding.importing.required_packages import require_package
from tiny_dancer.embedding.importing.weights import Weights, take
from tiny_dancer.embedding.onnx import GRAPH_FILE, INPUT, OUTPUT, WEIGHTS_FILE

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

Precision = Literal["int8", "fp32"]

_FUSED = "com.microsoft"
# Smaller tensors stay in the graph file: a memory-mapped page each would cost more.
_EXTERNAL_FROM_BYTES = 4096


def linear_names(architecture: BertArchitecture) -> list[str]:
    """Name the matrices of a BERT, as `write_bert_graph` applies them.

    Args:
        architecture: of the encoder.

    Returns:
        Four names per layer; that of query, key and value, applied as one, is the query's.
    """
    parts = ("attention.self.query", "attention.output.dense", "intermediate.dense", "output.dense")
    return [
        f"encoder.layer.{layer}.{part}" for layer in range(architecture.layers) for part in parts
    ]


def linear_input_name(name: str) -> str:
    """Name the output under which an exposed input of a matrix is found.

    Args:
        name: of the matrix.

    Returns:
        The name of the graph's output, of shape [1, tokens, inputs].
    """
    return f"{name}.input"


def write_bert_graph(
    folder: Path,
    weights: Weights,
    architecture: BertArchitecture,
    precision: Precision,
    *,
    divisors: Mapping[str, NDArray[np.float32]] | None = None,
    expose_linear_inputs: bool = False,
    several_texts: bool = False,
) -> None:
    """Write ``model.onnx`` and ``model.onnx.data``.

    Args:
        folder: where to; must not hold them yet.
        weights: of the encoder, named as in transformers' BertModel.
        architecture: of the encoder.
        precision: ``fp32``, or ``int8`` for the embedding table and all matrices.
        divisors: by matrix, what each of its input channels is divided by and the matrix's
            rows multiplied by: the same product, easier to quantise (``outlier_channels``).
        expose_linear_inputs: whether what each matrix is applied to becomes an output too,
            to be measured; such a graph is not for use.
        several_texts: whether the graph takes ids of shape [texts, tokens] and returns vectors of
            shape [texts, hidden]; the `onnx` provider wants it for one.

    Raises:
        InvalidArgumentError: the weights do not fit the architecture.
        MissingFileError: the package onnx is not installed.
    """
    onnx = require_package("onnx")
    graph = _BertGraph(
        onnx, weights, architecture, precision, divisors or {}, expose_linear_inputs, several_texts
    )
    model = onnx.helper.make_model(
        graph.build(),
        producer_name="tiny_dancer",
        opset_imports=[onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid(_FUSED, 1)],
        ir_version=8,
    )
    # The weights go to a file of their own, which onnxruntime maps into memory: backends
    # share the pages instead of each holding a copy.
    onnx.save_model(
        model,
        str(folder / GRAPH_FILE),
        save_as_external_data=True,
        location=WEIGHTS_FILE,
        size_threshold=_EXTERNAL_FROM_BYTES,
    )


class _BertGraph:
    """Collects the nodes and tensors of the graph."""

    def __init__(
        self,
        onnx: ModuleType,
        weights: Weights,
        architecture: BertArchitecture,
        precision: Precision,
        divisors: Mapping[str, NDArray[np.float32]],
        expose_linear_inputs: bool,
        several_texts: bool,
    ) -> None:
        self._onnx = onnx
        self._weights = weights
        self._architecture = architecture
        self._precision = precision
        self._divisors = divisors
        self._expose_linear_inputs = expose_linear_inputs
        self._several_texts = several_texts
        self._nodes: list[NodeProto] = []
        self._tensors: list[TensorProto] = []

    def build(self) -> GraphProto:
        hidden = self._architecture.hidden
        state = self._embeddings()
        for layer in range(self._architecture.layers):
            state = self._layer(state, f"encoder.layer.{layer}")
        self._pool(state)
        helper, types = self._onnx.helper, self._onnx.TensorProto
        texts: str | int = "texts" if self._several_texts else 1
        vectors = ["texts", hidden] if self._several_texts else [hidden]
        outputs = [helper.make_tensor_value_info(OUTPUT, types.FLOAT, vectors)]
        if self._expose_linear_inputs:
            names = map(linear_input_name, linear_names(self._architecture))
            outputs += [helper.make_tensor_value_info(n, types.FLOAT, None) for n in names]
        graph: GraphProto = helper.make_graph(
            self._nodes,
            "bert",
            [helper.make_tensor_value_info(INPUT, types.INT64, [texts, "tokens"])],
            outputs,
            self._tensors,
        )
        return graph

    def _embeddings(self) -> str:
        state = self._node("Add", [self._word_vectors(), self._position_vectors()])
        return self._node(
            "LayerNormalization",
            [state, *self._norm_parameters("embeddings.LayerNorm")],
            axis=-1,
            epsilon=self._architecture.layer_norm_eps,
        )

    def _word_vectors(self) -> str:
        shape = (self._architecture.vocabulary, self._architecture.hidden)
        table = self._take("embeddings.word_embeddings.weight", *shape)
        if self._precision == "fp32":
            return self._node("Gather", [self._tensor("words", table), INPUT])
        codes, scales = quantise_columns(table.T, TABLE_LIMIT)
        looked_up = self._node("Gather", [self._tensor("words", codes.T), INPUT])
        as_float = self._node("Cast", [looked_up], to=self._onnx.TensorProto.FLOAT)
        scale = self._node("Gather", [self._tensor("word_scales", scales[:, None]), INPUT])
        return self._node("Mul", [as_float, scale])

    def _position_vectors(self) -> str:
        a = self._architecture
        positions = self._take("embeddings.position_embeddings.weight", a.positions, a.hidden)
        types = self._take("embeddings.token_type_embeddings.weight", a.token_types, a.hidden)
        table = positions[: a.max_tokens] + types[0]
        start = self._tensor("first_position", np.array([0], dtype=np.int64))
        count = self._node("Shape", [INPUT], start=1, end=2)
        return self._node("Slice", [self._tensor("positions", table), start, count])

    def _layer(self, state: str, name: str) -> str:
        a = self._architecture
        attended = self._attention(state, f"{name}.attention.self")
        attended = self._linear(attended, [f"{name}.attention.output.dense"], a.hidden, a.hidden)
        state = self._add_and_norm(attended, state, f"{name}.attention.output.LayerNorm")
        wide = self._linear(state, [f"{name}.intermediate.dense"], a.hidden, a.intermediate)
        narrow = self._linear(
            self._activate(wide), [f"{name}.output.dense"], a.intermediate, a.hidden
        )
        return self._add_and_norm(narrow, state, f"{name}.output.LayerNorm")

    def _attention(self, state: str, name: str) -> str:
        hidden = self._architecture.hidden
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        projected = self._linear(state, parts, hidden, hidden)
        query, key, value = (f"{name}.{part}.out" for part in ("query", "key", "value"))
        self._append("Split", [projected], [query, key, value], axis=-1, num_outputs=3)
        return self._node(
            "MultiHeadAttention",
            [query, key, value],
            domain=_FUSED,
            num_heads=self._architecture.heads,
        )

    def _activate(self, state: str) -> str:
        match self._architecture.activation:
            case "gelu":
                return self._node("Gelu", [state], domain=_FUSED)
            case "relu":
                return self._node("Relu", [state])
            case _:
                return self._node("FastGelu", [state], domain=_FUSED)

    def _add_and_norm(self, state: str, residual: str, name: str) -> str:
        return self._node(
            "SkipLayerNormalization",
            [state, residual, *self._norm_parameters(name)],
            domain=_FUSED,
            epsilon=self._architecture.layer_norm_eps,
        )

    def _pool(self, state: str) -> None:
        pooled_axes = [1] if self._several_texts else [0, 1]
        axes = self._tensor("pooled_axes", np.array(pooled_axes, dtype=np.int64))
        if self._architecture.pooling == "mean":
            pooled = self._node("ReduceMean", [state, axes], keepdims=0)
        else:
            first = self._tensor("first_token", np.array([0], dtype=np.int64))
            row = self._node("Gather", [state, first], axis=1)
            pooled = self._node("Squeeze", [row, axes])
        if self._several_texts:
            each = self._tensor("norm_axes", np.array([1], dtype=np.int64))
            norm = self._node("ReduceL2", [pooled, each], keepdims=1)
        else:
            norm = self._node("ReduceL2", [pooled], keepdims=1)
        self._append("Div", [pooled, norm], [OUTPUT])

    def _linear(self, state: str, names: list[str], inputs: int, outputs: int) -> str:
        """Apply one dense layer, or several of the same input side by side."""
        weight = np.concatenate(
            [self._take(f"{name}.weight", outputs, inputs).T for name in names], axis=1
        )
        bias = np.concatenate([self._take(f"{name}.bias", outputs) for name in names])
        name = names[0]
        if self._expose_linear_inputs:
            self._append("Identity", [state], [linear_input_name(name)])
        if name in self._divisors:
            divisors = self._divisors[name]
            state = self._node("Mul", [state, self._tensor(f"{name}.shrink", 1 / divisors)])
            weight = weight * divisors[:, None]
        bias_name = self._tensor(f"{name}.bias", bias)
        if self._precision == "fp32":
            product = self._node("MatMul", [state, self._tensor(f"{name}.weight", weight)])
            return self._node("Add", [product, bias_name])
        codes, scales = quantise_columns(weight, WEIGHT_LIMIT)
        zeros = np.zeros(scales.shape, dtype=np.int8)
        return self._node(
            "DynamicQuantizeMatMul",
            [
                state,
                self._tensor(f"{name}.codes", codes),
                self._tensor(f"{name}.scales", scales),
                self._tensor(f"{name}.zeros", zeros),
                bias_name,
            ],
            domain=_FUSED,
        )

    def _norm_parameters(self, name: str) -> list[str]:
        hidden = self._architecture.hidden
        return [
            self._tensor(f"{name}.{part}", self._take(f"{name}.{part}", hidden))
            for part in ("weight", "bias")
        ]

    def _take(self, name: str, *shape: int) -> NDArray[np.float32]:
        return take(self._weights, name, shape)

    def _tensor(self, name: str, values: NDArray[Any]) -> str:
        contiguous = np.ascontiguousarray(values)
        self._tensors.append(self._onnx.numpy_helper.from_array(contiguous, name))
        return name

    def _node(
        self, operator: str, inputs: list[str], *, domain: str = "", **attributes: object
    ) -> str:
        output = f"{operator}_{len(self._nodes)}"
        self._append(operator, inputs, [output], domain=domain, **attributes)
        return output

    def _append(
        self,
        operator: str,
        inputs: list[str],
        outputs: list[str],
        *,
        domain: str = "",
        **attributes: object,
    ) -> None:
        node = self._onnx.helper.make_node(operator, inputs, outputs, domain=domain, **attributes)
        self._nodes.append(node)
