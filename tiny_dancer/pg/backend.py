"""What one server process keeps between calls: prepared plans, the snapshot, the open model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_dancer.embedding.external import ExternalProvider
from tiny_dancer.embedding.hashing import HashingProvider
from tiny_dancer.embedding.model_folder import find_model
from tiny_dancer.embedding.provider import EmbeddingProvider, open_provider
from tiny_dancer.embedding.windows import DEFAULT_MAX_WINDOWS
from tiny_dancer.errors import MissingFileError
from tiny_dancer.pg.boundary import server_error_class
from tiny_dancer.pg.model import ActiveModel
from tiny_dancer.pg.route_snapshot import RouteCache
from tiny_dancer.pg.snapshot import Configuration, SnapshotCache

Row = dict[str, Any]


class Backend:
    """State of one backend. It holds no rows: those belong to a snapshot, which has an epoch.

    Args:
        plpy: the module of PL/Python.
    """

    def __init__(self, plpy: Any) -> None:
        self.plpy = plpy
        self.server_error = server_error_class(plpy)
        self.library: Path = Path(__file__).parents[2]
        self.snapshots = SnapshotCache(self)
        self.routes = RouteCache(self)
        self._plans: dict[str, Any] = {}
        self._provider: tuple[tuple[ActiveModel, int], EmbeddingProvider] | None = None

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

    def open(self, model: ActiveModel, max_windows: int = DEFAULT_MAX_WINDOWS) -> EmbeddingProvider:
        """Open a model's provider.

        Raises:
            MissingFileError: the model's files are missing, or are not those of the database.
        """
        if model.provider == "external":
            return ExternalProvider(model.dimension, name=model.name)
        if model.provider == "hashing":
            return HashingProvider(model.dimension, name=model.name)
        folder = find_model(self.models_dir, model.name)
        if folder.manifest.checksum != model.checksum:
            raise MissingFileError(
                f'model "{model.name}" on this host is not the one that this database uses',
                detail=f"Its checksum is {folder.manifest.checksum}, not {model.checksum}.",
                hint=f"Run on this host: tiny-dancer model import {model.name}",
            )
        return open_provider(folder, max_windows=max_windows)
