"""Checking that a model in fewer bits still means the same."""

from __future__ import annotations

import numpy as np

from tiny_dancer.embedding.provider import EmbeddingProvider
from tiny_dancer.errors import InvalidArgumentError

LEAST_MEAN_COSINE = 0.98

PROBES = (
    "How do I reset the password of my account?",
    "Write a Python function that merges two sorted lists.",
    "Summarise this contract and list the clauses that limit liability.",
    "My parcel has not arrived and the tracking page shows nothing new.",
    "Translate the following paragraph into Portuguese.",
    "Why does the query planner choose a sequential scan here?",
    "Suggest a vegetarian dinner for six that takes under an hour.",
    "Compare the side effects of ibuprofen and paracetamol.",
    "Plot monthly revenue by region and explain the dip in March.",
    "Prove that the square root of two is irrational.",
    "Turn off the lights in the kitchen at ten.",
    "Ist dieses Produkt auch in Blau erhältlich?",
)


def mean_cosine(one: EmbeddingProvider, other: EmbeddingProvider) -> float:
    """Compare two providers on the probe sentences.

    Args:
        one: a provider.
        other: another of the same dimension.

    Returns:
        The mean cosine of their vectors of the same sentence.
    """
    products = one.embed_batch(PROBES) * other.embed_batch(PROBES)
    return float(products.sum(axis=1).mean())


def require_agreement(quantised: EmbeddingProvider, exact: EmbeddingProvider) -> float:
    """Refuse a quantised model that strays from its original.

    Args:
        quantised: the model in fewer bits.
        exact: the same in float32.

    Returns:
        The mean cosine on the probe sentences.

    Raises:
        InvalidArgumentError: it is below `LEAST_MEAN_COSINE`, or no number.
    """
    cosine = mean_cosine(quantised, exact)
    if not np.isfinite(cosine) or cosine < LEAST_MEAN_COSINE:
        raise InvalidArgumentError(
            f'model "{quantised.name}" loses too much in int8: mean cosine {cosine:.4f} to fp32',
            detail=f"At least {LEAST_MEAN_COSINE} is required on {len(PROBES)} sentences.",
            hint="Import it with --precision fp32.",
        )
    return cosine
