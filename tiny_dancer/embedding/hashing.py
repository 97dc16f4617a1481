"""The provider that needs no model: hashed character n-grams.

Every run of 3 or 4 characters of the text (``gram_hashes``) adds +1 or -1 to one of ``dimension``
buckets, both chosen by a seeded hash (feature hashing: Weinberger et al., ICML 2009).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedding.gram_hashes import GramHashes
from tiny_dancer.embedding.provider import embed_each, require_text
from tiny_dancer.embedding.windows import unit
from tiny_dancer.errors import InvalidArgumentError

DEFAULT_DIMENSION = 384
_GRAM_LENGTHS = (3, 4)


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
        self._hashes = GramHashes(_GRAM_LENGTHS, seed=seed)

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
        buckets = (self._hashes.of(text) % self._buckets).view(np.int64)
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
