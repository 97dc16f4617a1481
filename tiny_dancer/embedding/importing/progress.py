"""How an import tells whoever waits for it what it is doing."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Hears about the steps of an import."""

    def step(self, description: str) -> None:
        """A step begins.

        Args:
            description: what it does, a few words.
        """
        ...

    def downloaded(self, total_bytes: int) -> None:
        """More of the present step's download has arrived.

        Args:
            total_bytes: what has arrived so far, all files together.
        """
        ...

    def done(self, done: int, total: int) -> None:
        """More of the present step is done.

        Args:
            done: parts of it so far.
            total: parts in all.
        """
        ...


class Silent:
    """Progress that nobody watches."""

    def step(self, description: str) -> None:
        """Do nothing."""

    def downloaded(self, total_bytes: int) -> None:
        """Do nothing."""

    def done(self, done: int, total: int) -> None:
        """Do nothing."""
