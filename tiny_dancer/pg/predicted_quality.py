"""Entry point of asking what is expected of every agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend


def predict_quality(
    backend: Backend,
    request: str | None,
    embedding: list[float] | None,
    router_model_id: int | None,
) -> list[tuple[Any, ...]]:
    """Return the rows of ruvector_predict_quality, the best agent first."""
    raise NotImplementedError
