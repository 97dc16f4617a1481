"""Showing a person how far an import has come."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self

from tiny_dancer.cli.tqdm_class import tqdm_class


class ProgressBar:
    """Prints each step on stderr, and a bar while something arrives or is worked through."""

    def __init__(self) -> None:
        self._tqdm = tqdm_class()
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def step(self, description: str) -> None:
        """Print a step.

        Args:
            description: what it does.
        """
        self._close()
        print(f"{description} ...", file=sys.stderr, flush=True)

    def downloaded(self, total_bytes: int) -> None:
        """Move the bar.

        Args:
            total_bytes: what has arrived so far.
        """
        if self._bar is None:
            # Nothing but the steps where nobody watches a terminal.
            self._bar = self._tqdm(unit="B", unit_scale=True, leave=False, disable=None)
        self._bar.update(total_bytes - self._bar.n)

    def done(self, done: int, total: int) -> None:
        """Move the bar of a step whose parts are counted.

        Args:
            done: parts of it so far.
            total: parts in all.
        """
        if self._bar is None:
            self._bar = self._tqdm(total=total, leave=False, disable=None)
        self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
