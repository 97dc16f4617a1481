"""The provider that needs no model: hashed character n-grams.

The text is lower-cased, its white space collapsed and its ends marked by a space. Every
run of 3, 4 and 5 characters adds +1 or -1 to one of ``dimension`` buckets, both chosen by a
seeded hash (feature hashing: Weinberger et al., ICML 2009). The hash is multilinear in the
code points with odd 64-bit multipliers, finished as SplitMix64, all in NumPy: the same on
every machine and in every process, whatever Python's own string hash is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedding.provider import embed_each, require_text
from tiny_dancer.embedding.windows import unit
from tiny_dancer.errors import InvalidArgumentError

DEFAULT_DIMENSION = 384
_GRAM_LENGTHS = (3, 4, 5)


class HashingProvider:
    """Embeds text by its spelling alone.

    Args:
        dimension: length of the vectors, at least 1.
        seed: of the hash; vectors of two seeds must not be compared.
        name: the model's name.

    Raises:
        InvalidArgumentError: the dimension is below 1 or the seed negative.
    """

    def __init__(
        self, dimension: int = DEFAULT_DIMENSION, *, seed: int = 0, name: str = "hashing"
    ) -> None:
        if dimension < 1:
            raise InvalidArgumentError(f"dimension must be at least 1, not {dimension}")
        if seed < 0:
            raise InvalidArgumentError(f"seed must not be negative, not {seed}")
        self._dimension = dimension
        self._name = name
        self._multipliers = _splitmix(
            np.arange(1, max(_GRAM_LENGTHS) + 1, dtype=np.uint64)
            + _splitmix(np.array([seed], dtype=np.uint64))
        ) | np.uint64(1)

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self._dimension

    def embed(self, text: str) -> NDArray[np.float32]:
        """Embed one text.

        Args:
            text: what to embed, of any length.

        Returns:
            The vector, shape [dimension], of unit L2 norm.

        Raises:
            InvalidArgumentError: the text is empty or only white space, or (once in
                millions of very short texts) its n-grams cancel out.
        """
        require_text(text)
        hashes = self._gram_hashes(text)
        buckets = (hashes >> np.uint64(1)) % np.uint64(self._dimension)
        signs = 1.0 - 2.0 * (hashes & np.uint64(1)).astype(np.float64)
        counts = np.bincount(buckets.astype(np.intp), signs, self._dimension)
        return unit(counts.astype(np.float64, copy=False))

    def embed_batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed several texts, each exactly as `embed` would.

        Args:
            texts: what to embed.

        Returns:
            The vectors, shape [len(texts), dimension], each of unit L2 norm.

        Raises:
            InvalidArgumentError: a text is empty or only white space.
        """
        return embed_each(self, texts)

    def _gram_hashes(self, text: str) -> NDArray[np.uint64]:
        spelled = f" {' '.join(text.lower().split())} "
        codes = np.frombuffer(spelled.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        sums = np.zeros(len(codes), dtype=np.uint64)
        terms = codes.astype(np.uint64)
        grams = []
        for offset, multiplier in enumerate(self._multipliers):
            count = len(codes) - offset
            if count < 1:
                break
            sums = sums[:count] + terms[offset:] * multiplier
            if offset + 1 in _GRAM_LENGTHS:
                grams.append(sums)
        return _splitmix(np.concatenate(grams))


def _splitmix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Finish a hash so that every bit depends on every bit (SplitMix64)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
