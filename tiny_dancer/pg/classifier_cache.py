"""The classifiers that a backend has used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiny_dancer.errors import NotReadyError, UnknownObjectError

if TYPE_CHECKING:
    from tiny_dancer.classifier import RouteClassifier
    from tiny_dancer.pg.backend import Backend
    from tiny_dancer.pg.snapshot import Configuration

# Never executed, but for its names; see snapshot.EPOCHS.
EPOCH = """
SELECT (SELECT epoch FROM tiny_dancer.epochs WHERE kind = 'classifiers') AS epoch,
       row_security_active('tiny_dancer.classifiers'::regclass) AS is_filtered,
       EXISTS (SELECT c.* FROM tiny_dancer.classifiers c WHERE false) AS never
"""
ACTIVE = """
SELECT c.id, c.model_id, c.weights, m.name AS model
FROM tiny_dancer.classifiers c JOIN tiny_dancer.models m ON m.id = c.model_id
WHERE c.name = $1 AND c.active
"""


class ClassifierCache:
    """Keeps the classifiers that a backend has used as long as their epoch is the present one."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._epoch = -1
        self._kept: dict[str, tuple[int, RouteClassifier]] = {}

    def active(self, name: str, configuration: Configuration) -> RouteClassifier:
        """Return the active classifier of a name.

        Raises:
            UnknownObjectError: there is none.
            NotReadyError: it was trained on vectors of another model than the active one.
            DamagedWeightsError: its row is damaged.
        """
        state: Any = self._backend.row(EPOCH)
        if state["epoch"] != self._epoch or state["is_filtered"]:
            self._epoch, self._kept = state["epoch"], {}
        if name not in self._kept:
            self._kept[name] = self._read(name)
        model_id, classifier = self._kept[name]
        if model_id != configuration.required_model.id:
            raise NotReadyError(
                f"classifier {name!r} was trained on vectors of another embedding model",
                hint="Train it again with ruvector_train_classifier; tiny_dancer.setup() trains "
                "the ones that come with the extension.",
            )
        return classifier

    def _read(self, name: str) -> tuple[int, RouteClassifier]:
        row = self._backend.row(ACTIVE, ("text",), name)
        if row is None:
            raise UnknownObjectError(
                f"unknown classifier {name!r}",
                hint="Run tiny_dancer.setup() for the ones that come with the extension, or train "
                "one with ruvector_train_classifier.",
            )
        from tiny_dancer.classifier import RouteClassifier  # only who classifies pays for it

        where = f"classifier {row['id']} ({name})"
        return row["model_id"], RouteClassifier.from_bytes(row["weights"], where=where)
