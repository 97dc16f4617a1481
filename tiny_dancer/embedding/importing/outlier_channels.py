"""Channels whose activations dwarf the others, and how they are kept from spoiling int8.

Activations are quantised with one scale per call. A BERT has a few channels, about thirty
in all of MiniLM's matrices, that are an order of magnitude above the rest: they set the
scale and the rest is left with few steps. Dividing such a channel by d and multiplying the
matrix's row by d leaves the product as it was, and the steps are spent evenly (SmoothQuant:
Xiao et al., ICML 2023, here for outliers only). Over 200 texts this brings the mean cosine
to fp32 from .992 to .997.

The divisors are powers of two, so that dividing is exact and the last bit of a measurement
on another CPU does not change the model's checksum.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedding.importing.bert_graph import linear_input_name
from tiny_dancer.embedding.model_folder import ModelFolder
from tiny_dancer.embedding.onnx import INPUT, load_session, load_tokenizer

# Chosen once by measurement between 2 and 4 times the median channel.
_ORDINARY = 4.0

# Varied in kind and length, and none of them a probe of the agreement check.
CALIBRATION_TEXTS = (
    "ok",
    "thanks, that solved it!",
    "What is the capital of Australia?",
    "def area(r): return 3.14159 * r ** 2",
    "Order 48213 was charged twice, please refund 19.99 EUR.",
    "SELECT name, count(*) FROM visits GROUP BY name ORDER BY 2 DESC;",
    "Draft a polite reply to a supplier who is two weeks late with a delivery.",
    "Qual é a melhor forma de aprender a tocar piano em casa?",
    "明日の会議は何時に始まりますか",
    "Explain, step by step, why the sum of two odd integers is always even.",
    "Book a table for four on Friday evening, somewhere quiet near the station.",
    "The patient reports chest pain after exercise, relieved by rest, without fever. "
    "List what should be ruled out first and which tests you would order.",
)


def largest_linear_inputs(exact: ModelFolder, names: list[str]) -> dict[str, NDArray[np.float32]]:
    """Measure how large each channel gets before each matrix.

    Args:
        exact: the model in float32, written with its linear inputs exposed.
        names: of the matrices.

    Returns:
        For each matrix the largest magnitude per input channel, over `CALIBRATION_TEXTS`.
    """
    tokenizer, session = load_tokenizer(exact), load_session(exact)
    outputs = [linear_input_name(name) for name in names]
    largest: dict[str, NDArray[np.float32]] = {}
    for text in CALIBRATION_TEXTS:
        ids = tokenizer.encode(text).ids[: exact.manifest.max_tokens]
        states = session.run(outputs, {INPUT: np.array([ids], dtype=np.int64)})
        for name, state in zip(names, states, strict=True):
            seen = np.abs(state[0]).max(axis=0)
            largest[name] = np.maximum(largest.get(name, seen), seen)
    return largest


def channel_divisors(
    largest: Mapping[str, NDArray[np.float32]],
) -> dict[str, NDArray[np.float32]]:
    """Say by what each channel is divided.

    Args:
        largest: the largest magnitude per channel, by matrix.

    Returns:
        Powers of two per channel, 1 for an ordinary one; a matrix without any outlier is
        left out.
    """
    divisors = {name: _divisors(values) for name, values in largest.items()}
    return {name: values for name, values in divisors.items() if values.max() > 1}


def _divisors(largest: NDArray[np.float32]) -> NDArray[np.float32]:
    ordinary = _ORDINARY * max(float(np.median(largest)), float(np.finfo(np.float32).tiny))
    exponents = np.round(np.log2(np.maximum(largest / ordinary, 1.0)))
    divisors: NDArray[np.float32] = np.exp2(exponents).astype(np.float32)
    return divisors
