"""Dropout: a random part of the units is silenced in each training step.

Source: Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting,
JMLR 2014.
"""

from __future__ import annotations

import numpy as np

from tiny_dancer.weights import Float32Array


def dropout_mask(
    shape: tuple[int, ...], rate: float, generator: np.random.Generator
) -> Float32Array:
    """Factors of 0 for silenced units and 1 / (1 − rate) for the others.

    The mean stays as it is, so nothing changes at inference.

    Args:
        shape: of the units.
        rate: the share silenced, in [0, 1).
        generator: where the chance comes from.
    """
    kept = generator.random(shape, dtype=np.float32) >= np.float32(rate)
    return kept.astype(np.float32) * np.float32(1.0 / (1.0 - rate))
