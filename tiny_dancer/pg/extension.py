"""What a PL/Python body finds in GD: every entry point, bound to this backend."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import tiny_dancer
from tiny_dancer.errors import NotReadyError
from tiny_dancer.pg.backend import Backend
from tiny_dancer.pg.boundary import as_server_error, entry_point, server_error_class
from tiny_dancer.pg.freed_memory import giving_memory_back

# The module of each entry point. A module is imported when a function of it is first called:
# whoever only routes does not wait for what trains.
ENTRY_POINTS = {
    "register_agent": "agents",
    "find_agents_by_capability": "agents",
    "embed": "embedding",
    "embed_batch": "embedding",
    "use_model": "model_switch",
    "route": "routing",
    "explain_route": "explaining",
    "route_multi": "multi_agent",
    "batch_route": "batch",
    "create_route": "routes",
    "semantic_route": "routes",
    "fit_routes": "route_fitting",
    "evaluate_routes": "route_fitting",
    "build_route_index": "route_index",
    "classify_request": "classification",
    "classify_capabilities": "classification",
    "labelled_texts": "classification",
    "train_classifier": "classification",
    "judged_requests": "judged_requests",
    "train_router": "router_training",
    "activate_router": "router_models",
    "predict_quality": "predicted_quality",
    "replay": "replay",
    "request_texts": "calibration",
    "calibrate_router": "calibration",
    "record_request_vector": "cost",
    "optimize_budget": "cost",
    "setup": "operations",
    "doctor": "operations",
    "warmup": "operations",
    "set_setting": "operations",
    "list_settings": "operations",
}

# What these work on is many times as large as what they keep.
WORK_ON_MUCH = {
    "calibrate_router",
    "evaluate_routes",
    "fit_routes",
    "replay",
    "setup",
    "train_classifier",
    "train_router",
    "use_model",
}


class Extension:
    """The entry points as attributes, bound to a backend on their first use."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Import an entry point and keep it; Python asks here only for what is not kept yet."""
        if name not in ENTRY_POINTS:
            raise AttributeError(name)
        module = importlib.import_module(f"tiny_dancer.pg.{ENTRY_POINTS[name]}")
        function = getattr(module, name)
        if name in WORK_ON_MUCH:
            function = giving_memory_back(function)
        bound = entry_point(function, self._backend)
        setattr(self, name, bound)
        return bound


def start(plpy: Any, version: str) -> Extension:
    """Return the entry points for one backend.

    Args:
        plpy: the module of PL/Python.
        version: of the extension in this database.

    Raises:
        plpy.Error: what lies in the folder of this version is another one (55000).
    """
    if tiny_dancer.__version__ != version:
        raise as_server_error(
            NotReadyError(
                f"this session holds the library of version {tiny_dancer.__version__}, "
                f"and the extension is at version {version}",
                detail="The folder of one version has the library of another.",
                hint='Run "make install" of the extension\'s version on this host.',
            ),
            server_error_class(plpy),
        )
    return Extension(Backend(plpy))
