"""Entry points for administrators: setup, doctor, warm-up and settings."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tiny_dancer.errors import MissingFileError
from tiny_dancer.pg import store
from tiny_dancer.pg.classification import train_starting_classifiers
from tiny_dancer.pg.diagnosis import diagnose
from tiny_dancer.pg.model_switch import use_model
from tiny_dancer.settings import FIELDS, Settings, read_setting

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend

DEFAULT_MODEL = "all-MiniLM-L6-v2"

PUT_SETTING = """
INSERT INTO tiny_dancer.settings (name, value) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
RESET_SETTING = "DELETE FROM tiny_dancer.settings WHERE name = $1 RETURNING name"


def setup(backend: Backend, model: str | None) -> list[tuple[str, str]]:
    """Make the database ready to route. Repeating it changes nothing that is in order."""
    return [
        ("embedding model", _activate_model(backend, model)),
        ("classifiers", train_starting_classifiers(backend)),
    ]


def _activate_model(backend: Backend, wanted: str | None) -> str:
    active = store.active_model(backend)
    if active is not None and wanted in (None, active.name):
        backend.open(active)
        return f"{active.name} is active already"
    name = wanted or DEFAULT_MODEL
    backend.report_progress(f"activating the embedding model {name}")
    if wanted is None and not (backend.models_dir / name).is_dir():
        raise MissingFileError(
            f"the default embedding model {name!r} is not installed on this host",
            hint=f"Run on this host: tiny-dancer model import {name}",
        )
    return use_model(backend, name, None, None, False)


def doctor(backend: Backend) -> list[tuple[str, bool, str, str | None]]:
    """Return (subject, ok, finding, remedy) of everything that the extension needs."""
    return [dataclasses.astuple(finding) for finding in diagnose(backend)]


def warmup(backend: Backend) -> list[tuple[str, float]]:
    """Load what the first request would have to load; return what took how long."""
    return list(_warm(backend))


def _warm(backend: Backend) -> Iterator[tuple[str, float]]:
    began = time.perf_counter()
    snapshot = backend.snapshots.current()
    yield "registry", (time.perf_counter() - began) * 1000.0
    began = time.perf_counter()
    backend.routes.current()
    yield "semantic routes", (time.perf_counter() - began) * 1000.0
    began = time.perf_counter()
    provider = backend.provider(snapshot.configuration)
    if snapshot.configuration.required_model.provider != "external":
        provider.embed("warm-up")
    yield "embedding model", (time.perf_counter() - began) * 1000.0


def set_setting(backend: Backend, name: str | None, value: str | None) -> str | None:
    """Change a setting, or return it to its default; return its value."""
    if value is None:
        return _reset_setting(backend, name)
    checked = str(read_setting(str(name), value))
    # Weights of 0 all round are refused here and not by the next decision.
    overrides = {**store.setting_overrides(backend), str(name): checked}
    _ = Settings.with_overrides(overrides).weights
    backend.rows(PUT_SETTING, ("text", "text"), name, checked)
    return checked


def _reset_setting(backend: Backend, name: str | None) -> str | None:
    """Delete the row of a setting, also of one that only another version knows."""
    deleted = backend.row(RESET_SETTING, ("text",), name)
    if name in FIELDS:
        return str(FIELDS[name].default)
    if deleted is None:
        read_setting(str(name), "")
    return None


def list_settings(backend: Backend) -> list[tuple[Any, ...]]:
    """Return every setting with its value, default, bounds and meaning."""
    settings = backend.snapshots.configuration().settings
    return [
        (
            name,
            str(getattr(settings, name)),
            str(field.default),
            float(field.metadata["least"]),
            float(field.metadata["most"]),
            field.metadata["meaning"],
        )
        for name, field in FIELDS.items()
    ]
