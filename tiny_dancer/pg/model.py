"""The embedding model that a database has made the active one."""

from __future__ import annotations

from typing import NamedTuple


class ActiveModel(NamedTuple):
    """A row of tiny_dancer.models.

    Attributes:
        checksum: of its files, None where it has none.
    """

    id: int
    name: str
    provider: str
    dimension: int
    checksum: str | None

    @property
    def description(self) -> str:
        """Name, provider and dimension, for people."""
        return f"{self.name} ({self.provider}, {self.dimension} dimensions)"
