"""What one server process keeps between calls: prepared plans, the snapshot, the open model."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tiny_dancer.pg.boundary import server_error_class
from tiny_dancer.pg.current_role import current_role_reader
from tiny_dancer.pg.live_state import LiveRouters
from tiny_dancer.pg.snapshot import SnapshotCache

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from tiny_dancer.embedding.provider import EmbeddingProvider
    from tiny_dancer.pg.classifier_cache import ClassifierCache
    from tiny_dancer.pg.model import ActiveModel
    from tiny_dancer.pg.route_snapshot import RouteCache
    from tiny_dancer.pg.snapshot import Configuration

Row = dict[str, Any]

MAX_TEXT_VECTORS = 10_000
CANCEL_EVERY_SECONDS = 0.05


class Backend:
    """State of one backend. It holds no rows: those belong to a snapshot, which has an epoch.

    Args:
        plpy: the module of PL/Python.
    """

    def __init__(self, plpy: Any) -> None:
        self.plpy = plpy
        self.server_error = server_error_class(plpy)
        self.current_role = current_role_reader()
        self.snapshots = SnapshotCache(self)
        self.live = LiveRouters(self)
        self._plans: dict[str, Any] = {}
        self._text_vectors: tuple[ActiveModel | None, dict[str, NDArray[np.float32]]] = (None, {})
        self._provider: tuple[tuple[ActiveModel, int], EmbeddingProvider] | None = None

    # What a decision on a given embedding does not need is imported when it is first used: a new
    # connection waits for every import.

    @cached_property
    def classifiers(self) -> ClassifierCache:
        """The classifiers that this backend has loaded."""
        from tiny_dancer.pg.classifier_cache import ClassifierCache

        return ClassifierCache(self)

    @cached_property
    def routes(self) -> RouteCache:
        """The semantic routes that this backend has loaded."""
        from tiny_dancer.pg.route_snapshot import RouteCache

        return RouteCache(self)

    @cached_property
    def library(self) -> Path:
        """The folder that the library was loaded from."""
        from pathlib import Path

        return Path(__file__).parents[2]

    @property
    def models_dir(self) -> Path:
        """The folder of model files, beside the folders of the library's versions."""
        return self.library.parent / "models"

    def rows(self, query: str, types: tuple[str, ...] = (), *arguments: Any) -> Any:
        """Run a query through a plan that is prepared once, and return its rows."""
        plan = self._plans.get(query)
        if plan is None:
            plan = self._plans[query] = self.plpy.prepare(query, list(types))
        return plan.execute(list(arguments))

    def row(self, query: str, types: tuple[str, ...] = (), *arguments: Any) -> Row | None:
        """Run a query that returns at most one row."""
        rows = self.rows(query, types, *arguments)
        return rows[0] if len(rows) else None

    def report_progress(self, message: str) -> None:
        """Tell the waiting user how far it is, and let a cancel through."""
        self.plpy.notice(message)
        self.allow_cancel()

    def progress(self, every_seconds: float) -> Callable[[str], None]:
        """Return a function to call after each step of something long.

        It lets a cancel through several times a second, and tells how far it is every so often.
        """
        reported = alive = time.monotonic()

        def step(message: str) -> None:
            nonlocal reported, alive
            now = time.monotonic()
            if now - reported >= every_seconds:
                reported = alive = now
                self.report_progress(message)
            elif now - alive >= CANCEL_EVERY_SECONDS:
                alive = now
                self.allow_cancel()

        return step

    def allow_cancel(self) -> None:
        """Let a cancel or a timeout take effect: Python code alone is never interrupted."""
        self.rows("SELECT 1 AS alive")

    def provider(self, configuration: Configuration) -> EmbeddingProvider:
        """Return the open provider of the active model, opening it on its first use.

        Raises:
            NotReadyError: no model is active.
            MissingFileError: the model's files are missing, or are not those of the database.
        """
        key = (configuration.required_model, configuration.settings.max_windows)
        if self._provider is None or self._provider[0] != key:
            self._provider = (key, self.open(*key))
        return self._provider[1]

    def text_vectors(self, configuration: Configuration) -> dict[str, NDArray[np.float32]]:
        """Return the vectors of short texts that are needed again and again; the caller adds to it.

        They depend on the model and the text alone, so every role may use them.
        """
        model = configuration.required_model
        if self._text_vectors[0] != model or len(self._text_vectors[1]) > MAX_TEXT_VECTORS:
            self._text_vectors = (model, {})
        return self._text_vectors[1]

    def open(self, model: ActiveModel, max_windows: int | None = None) -> EmbeddingProvider:
        """Open a model's provider; see ``open_model``."""
        from tiny_dancer.pg.open_model import open_model

        return open_model(self, model, max_windows)
