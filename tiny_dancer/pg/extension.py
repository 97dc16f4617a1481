"""What a PL/Python body finds in GD: every entry point, bound to this backend."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import tiny_dancer
from tiny_dancer.errors import NotReadyError
from tiny_dancer.pg import agents, batch, cost, embedding, multi_agent, operations, routing
from tiny_dancer.pg.backend import Backend
from tiny_dancer.pg.boundary import as_server_error, entry_point, server_error_class

ENTRY_POINTS = (
    agents.register_agent,
    agents.find_agents_by_capability,
    embedding.embed,
    embedding.embed_batch,
    embedding.use_model,
    routing.route,
    routing.explain_route,
    cost.record_request_vector,
    cost.optimize_budget,
    multi_agent.route_multi,
    batch.batch_route,
    operations.setup,
    operations.doctor,
    operations.warmup,
    operations.set_setting,
    operations.list_settings,
)


def start(plpy: Any, version: str) -> SimpleNamespace:
    """Return the entry points for one backend.

    Args:
        plpy: the module of PL/Python.
        version: of the extension in this database.

    Raises:
        plpy.Error: this backend holds the library of another version (55000).
    """
    if tiny_dancer.__version__ != version:
        raise as_server_error(
            NotReadyError(
                f"this session holds the library of version {tiny_dancer.__version__}, "
                f"and the extension is at version {version}",
                detail="The extension was updated while this session was connected.",
                hint="Reconnect.",
            ),
            server_error_class(plpy),
        )
    backend = Backend(plpy)
    return SimpleNamespace(
        **{function.__name__: entry_point(function, backend) for function in ENTRY_POINTS}
    )
