"""What the extension needs on this host and in this database, checked one by one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tiny_dancer
from tiny_dancer.embedding.model_folder import find_model
from tiny_dancer.errors import TinyDancerError
from tiny_dancer.index import hnsw
from tiny_dancer.pg import (
    nearest,
    nearest_routes,
    route_heads,
    route_index,
    route_store,
    router_models,
    store,
)
from tiny_dancer.pg.model_build import OF_THIS_HOST
from tiny_dancer.weights import DamagedWeightsError

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend

LEAST_VECTOR = (0, 7)
MEMORY_LIMIT_MB = 90.0
# What every backend needs, and what only those need that run a transformer themselves.
PACKAGES = ("numpy",)
ONNX_PACKAGES = ("onnxruntime", "tokenizers")

SERVER = "SELECT current_setting('server_version') AS version, pg_is_in_recovery() AS is_standby"
EXTENSION = """
SELECT installed_version AS installed, default_version AS newest
FROM pg_available_extensions WHERE name = 'tiny_dancer'
"""
UPDATE = (
    "Run ALTER EXTENSION tiny_dancer UPDATE; as a superuser, then SELECT tiny_dancer.regrant();"
)
# Only the owner may ask, and superusers.
MAY_READ_RIGHTS = """
SELECT has_function_privilege('tiny_dancer.missing_rights()', 'EXECUTE') AS may_read
"""
RIGHTS = """
SELECT count(*) AS missing, string_agg(DISTINCT role_name, ', ') AS roles
FROM tiny_dancer.missing_rights()
"""
# The oldest outcome that is not summed up yet, through the index on time.
MAINTENANCE = """
SELECT extract(epoch FROM clock_timestamp() - min(u.recorded_at))::float8 / 86400 AS days
FROM tiny_dancer.usage u
WHERE u.recorded_at > '-infinity' AND u.recorded_at >= coalesce(
    (SELECT s.rolled_until FROM tiny_dancer.usage_rollup_state s), '-infinity')
"""
OVERDUE_DAYS = 2.0
REBUILD = "Run SELECT tiny_dancer.rebuild_indexes(); as the owner of the extension."
INDEX = "SELECT to_regclass('tiny_dancer.' || quote_ident($1)) IS NOT NULL AS exists"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor: what was looked at, whether it is in order, and what to do."""

    subject: str
    ok: bool
    finding: str
    remedy: str | None = None


def diagnose(backend: Backend) -> Iterator[Finding]:
    """Yield a finding for everything that the extension needs."""
    for examine in EXAMINATIONS:
        yield from examine(backend)


def _server(backend: Backend) -> Iterator[Finding]:
    row: Any = backend.row(SERVER)
    role = "standby" if row["is_standby"] else "primary"
    yield Finding("server", True, f"PostgreSQL {row['version']}, {role}")
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", True, f"Python {version}")
    yield Finding("library", True, f"tiny_dancer {tiny_dancer.__version__} in {backend.library}")


def _extension(backend: Backend) -> Iterator[Finding]:
    row: Any = backend.row(EXTENSION)
    if row is None:
        # A server that was restored without the files of the extension but with its library.
        return
    installed, newest = row["installed"], row["newest"]
    if _numbers(newest) > _numbers(installed):
        finding = f"this database is at {installed}, and {newest} is installed on this host"
        yield Finding("extension", False, finding, UPDATE)
    else:
        yield Finding("extension", True, f"tiny_dancer {installed}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _rights(backend: Backend) -> Iterator[Finding]:
    allowed: Any = backend.row(MAY_READ_RIGHTS)
    if not allowed["may_read"]:
        return
    row: Any = backend.row(RIGHTS)
    if row["missing"]:
        finding = f"{row['missing']} rights of their level are missing for {row['roles']}"
        yield Finding("rights", False, finding, "Run SELECT tiny_dancer.regrant();")
    else:
        yield Finding("rights", True, "every remembered role has those of its level")


def _packages(backend: Backend) -> Iterator[Finding]:
    import importlib.metadata  # slow to import, and nothing else needs it

    model = backend.snapshots.configuration().model
    needed = PACKAGES if model and model.provider != "onnx" else PACKAGES + ONNX_PACKAGES
    for package in PACKAGES + ONNX_PACKAGES:
        try:
            distribution = importlib.metadata.distribution(package)
        except importlib.metadata.PackageNotFoundError:
            if package not in needed:
                yield Finding(package, True, "not installed, and the active model needs it not")
                continue
            yield Finding(
                package,
                False,
                "not installed for the server's Python",
                'Run "make install" on this host; without it text can not be embedded here.',
            )
            continue
        place = Path(str(distribution.locate_file("")))
        is_ours = place == backend.library
        yield Finding(
            package,
            True,
            f"{distribution.version}" + ("" if is_ours else f", from {place}"),
        )


def _vector(backend: Backend) -> Iterator[Finding]:
    version = nearest.vector_extension(backend).version
    known = ".".join(map(str, version))
    if version < LEAST_VECTOR:
        least = ".".join(map(str, LEAST_VECTOR))
        yield Finding("pgvector", False, known, f"Update it to {least} or later.")
    else:
        yield Finding("pgvector", True, known)


def _model(backend: Backend) -> Iterator[Finding]:
    try:
        configuration = backend.snapshots.configuration()
        model = configuration.required_model
        backend.provider(configuration)
        if model.provider in OF_THIS_HOST:
            find_model(backend.models_dir, model.name, verify="sha256")
        elif model.provider == "service":
            # A connection that is open already would not notice that the socket is gone.
            backend.open(model)
    except TinyDancerError as error:
        yield Finding("embedding model", False, error.message, error.hint)
        return
    yield Finding("embedding model", True, model.description)


def _registry(backend: Backend) -> Iterator[Finding]:
    agents = store.count_agents(backend)
    yield Finding("registry", True, f"{agents} agents")
    model = store.active_model(backend)
    configuration = backend.snapshots.configuration()
    if model is None or agents <= configuration.settings.exact_search_limit:
        return
    row: Any = backend.row(INDEX, ("text",), nearest.index_name(model))
    if not row["exists"]:
        yield Finding(
            "vector index",
            False,
            f"{agents} agents have no HNSW index on their vectors",
            REBUILD,
        )


def _routes(backend: Backend) -> Iterator[Finding]:
    configuration = backend.snapshots.configuration()
    model = configuration.model
    if model is None:
        return
    count = route_store.count_routes(backend, model)
    yield Finding("semantic routes", True, f"{count.routes} routes with {count.vectors} vectors")
    try:
        route_heads.active_head(backend, model)
    except DamagedWeightsError as error:
        yield Finding("route fit", False, error.message, route_heads.REMEDY)
    if not route_index.fits(configuration, count, with_graph=False):
        row: Any = backend.row(INDEX, ("text",), nearest_routes.index_name(model))
        if row["exists"]:
            yield Finding("route index", True, "pgvector")
        else:
            finding = "more than backends keep, and no HNSW index on their vectors"
            yield Finding("route index", False, finding, REBUILD)
    elif count.vectors > configuration.settings.route_index_limit:
        yield _hnswlib(route_store.has_graph(backend, model))


def _hnswlib(has_graph: bool) -> Finding:
    if not hnsw.is_installed():
        return Finding(
            "route index",
            False,
            "hnswlib is not installed for the server's Python: the exact scan takes over",
            'Run "make install EXTRAS=routing-semantic" on this host for faster matches.',
        )
    if not has_graph:
        finding = "no hnswlib index was built: the exact scan takes over"
        return Finding("route index", False, finding, REBUILD)
    return Finding("route index", True, "hnswlib")


def _maintenance(backend: Backend) -> Iterator[Finding]:
    row: Any = backend.row(MAINTENANCE)
    days = row["days"]
    if days is None or days <= OVERDUE_DAYS:
        yield Finding("maintenance", True, "not overdue")
        return
    yield Finding(
        "maintenance",
        False,
        f"outcomes of the past {days:.0f} days are not summed up: analytics are slower",
        "Run SELECT * FROM tiny_dancer.maintain(); every hour or every day, as an administrator.",
    )


def _router_model(backend: Backend) -> Iterator[Finding]:
    found = router_models.examine(backend)
    if found is not None:
        ok, finding, remedy = found
        yield Finding("router model", ok, finding, remedy)


def _memory(backend: Backend) -> Iterator[Finding]:
    used = private_megabytes()
    if used is not None:
        remedy = None if used <= MEMORY_LIMIT_MB else "Lower the setting snapshot_megabytes."
        yield Finding("memory", remedy is None, f"{used:.0f} MB private in this backend", remedy)


def private_megabytes() -> float | None:
    """Return the memory that no file stands behind, None where that can not be read.

    Pages of libraries and models count for nobody: they are the files', which all backends share
    and which the host may take back, also where just one backend has them open. A few pages that
    the backend has from the postmaster are in it.
    """
    try:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    sizes = {line.split(":")[0]: line.split()[1] for line in lines[1:]}
    return int(sizes["Anonymous"]) / 1024.0


EXAMINATIONS: tuple[Callable[..., Iterator[Finding]], ...] = (
    _server,
    _extension,
    _packages,
    _vector,
    _model,
    _registry,
    _routes,
    _maintenance,
    _router_model,
    _rights,
    _memory,
)
