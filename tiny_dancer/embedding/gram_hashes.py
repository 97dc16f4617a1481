"""Hashes of the runs of letters in a text.

The text is lower-cased, its white space collapsed and its ends marked by a space. The hash of a
run is multilinear, the upper half of a sum of code points times random 64-bit numbers (Lemire and
Kaser, "Strongly universal string hashing is fast", 2014), which NumPy computes for all runs at
once: the same on every machine and in every process, whatever Python's own string hash is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

_UPPER_HALF = np.uint64(32)
_MIXER = np.uint64(0x9E3779B97F4A7C15)


class GramHashes:
    """Hashes every run of so many characters.

    Args:
        lengths: of the runs, each at least 2.
        seed: of the hash.
    """

    def __init__(self, lengths: Collection[int], *, seed: int = 0) -> None:
        self._lengths = frozenset(lengths)
        self._start, *self._multipliers = _random_words(seed, 1 + max(lengths))

    def of(self, text: str) -> NDArray[np.uint64]:
        """Return the hashes of the runs in a text that has something but white space in it."""
        spelled = f" {' '.join(text.lower().split())} "
        codes = np.frombuffer(spelled.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        terms = codes.astype(np.uint64)
        sums, grams = terms * self._multipliers[0] + self._start, []
        for length, multiplier in enumerate(self._multipliers[1:], start=2):
            if len(sums) == 1:
                break
            sums = sums[:-1] + terms[length - 1 :] * multiplier
            if length in self._lengths:
                grams.append(sums)
        hashes = np.concatenate(grams)
        # Letters are small neighbouring numbers, so their sums lie on a lattice: break it up.
        mixed: NDArray[np.uint64] = (hashes ^ (hashes >> _UPPER_HALF)) * _MIXER >> _UPPER_HALF
        return mixed


def _random_words(seed: int, count: int) -> NDArray[np.uint64]:
    """Draw 64-bit numbers from a seed, the same on every machine."""
    digest = hashlib.blake2b(str(seed).encode(), digest_size=8 * count).digest()
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64)
