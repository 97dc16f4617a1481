"""The provider of callers who always bring their own vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from tiny_dancer.errors import InvalidArgumentError, NotReadyError


class ExternalProvider:
    """Knows a dimension and refuses to embed text.

    Args:
        dimension: length of the vectors that callers pass, at least 1.
        name: the model's name.

    Raises:
        InvalidArgumentError: the dimension is below 1.
    """

    def __init__(self, dimension: int, *, name: str = "external") -> None:
        if dimension < 1:
            raise InvalidArgumentError(f"dimension must be at least 1, not {dimension}")
        self._dimension = dimension
        self._name = name

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self._dimension

    def embed(self, text: str) -> NoReturn:
        """Refuse.

        Args:
            text: what the caller hoped to embed.

        Raises:
            NotReadyError: always; the hint says what to pass instead.
        """
        del text
        raise NotReadyError(
            f'model "{self._name}" cannot embed text',
            detail=f"Its vectors, of {self._dimension} dimensions, come from the caller.",
            hint="Pass the argument embedding, or activate a model that embeds text.",
        )

    def embed_batch(self, texts: Sequence[str]) -> NoReturn:
        """Refuse, as `embed` does.

        Args:
            texts: what the caller hoped to embed.

        Raises:
            NotReadyError: always.
        """
        self.embed(texts[0] if texts else "")
