"""The provider that needs no model: hashed character n-grams.

The text is lower-cased, its white space collapsed and its ends marked by a space. Every
run of 3 or 4 characters adds +1 or -1 to one of ``dimension`` buckets, both chosen by a
seeded hash (feature hashing: Weinberger et al., ICML 2009). The hash is multilinear, the
upper half of a sum of code points times random 64-bit numbers (Lemire and Kaser, "Strongly
universal string hashing is fast", 2014), which NumPy computes for all runs at once: the
same on every machine and in every process, whatever Python's own string hash is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedding.provider import embed_each, require_text
from tiny_dancer.embedding.windows import unit
from tiny_dancer.errors import InvalidArgumentError

DEFAULT_DIMENSION = 384
_GRAM_LENGTHS = (3, 4)
_UPPER_HALF = np.uint64(32)
_MIXER = np.uint64(0x9E3779B97F4A7C15)


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
        self._buckets = np.uint64(2 * dimension)
        self._start, *self._multipliers = _random_words(seed, 1 + max(_GRAM_LENGTHS))

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
        # The first half of the buckets adds, the second takes away.
        buckets = (self._gram_hashes(text) % self._buckets).view(np.int64)
        counts = np.bincount(buckets, minlength=2 * self._dimension)
        return unit(np.subtract(*counts.reshape(2, -1), dtype=np.float64))

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
        terms = codes.astype(np.uint64)
        sums, grams = terms * self._multipliers[0] + self._start, []
        for length, multiplier in enumerate(self._multipliers[1:], start=2):
            if len(sums) == 1:
                break
            sums = sums[:-1] + terms[length - 1 :] * multiplier
            if length in _GRAM_LENGTHS:
                grams.append(sums)
        hashes = np.concatenate(grams)
        # Letters are small neighbouring numbers, so their sums lie on a lattice: break it up.
        mixed: NDArray[np.uint64] = (hashes ^ (hashes >> _UPPER_HALF)) * _MIXER >> _UPPER_HALF
        return mixed


def _random_words(seed: int, count: int) -> NDArray[np.uint64]:
    """Draw 64-bit numbers from a seed, the same on every machine."""
    digest = hashlib.blake2b(str(seed).encode(), digest_size=8 * count).digest()
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64)
