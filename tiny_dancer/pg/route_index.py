"""The hnswlib index over the vectors of semantic routes: built here, kept as a row, loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiny_dancer.errors import NotReadyError
from tiny_dancer.index import hnsw
from tiny_dancer.pg import route_store
from tiny_dancer.pg.model import ActiveModel
from tiny_dancer.pg.snapshot import MEGABYTE, Configuration, read_configuration

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend
    from tiny_dancer.pg.route_store import RouteCount, StoredRoutes

# What a route and a vector take beside the vector's elements.
BYTES_OF_ROUTE = 500
BYTES_BESIDE_VECTOR = 16
# With more of its vectors come or gone since, a graph is no longer worth searching.
MOST_STALE = 0.2


def build_route_index(backend: Backend) -> str | None:
    """Build and store the index of the active model's vectors; return what was built.

    None where the exact scan is as fast, or where a backend would not load it.
    """
    configuration = read_configuration(backend)
    model, settings = configuration.required_model, configuration.settings
    count = route_store.count_routes(backend, model)
    backend.rows(route_store.FORGET_GRAPHS)
    if count.vectors <= settings.route_index_limit:
        return None
    if not fits(configuration, count, with_graph=True):
        backend.report_progress(
            "the routes are too many for an hnswlib index within snapshot_megabytes"
        )
        return None
    if not hnsw.is_installed():
        backend.report_progress("hnswlib is not installed; routes are matched by the exact scan")
        return None
    stored = route_store.stored_routes(backend, model)
    graph = hnsw.build(
        stored.vector_ids,
        stored.vectors,
        lambda done, total: backend.report_progress(
            f"building the hnswlib index on the routes: {done} of {total} vectors"
        ),
    )
    route_store.put_graph(backend, model, count.vectors, graph)
    return f"hnswlib index on {count.vectors} vectors of routes"


def load(backend: Backend, model: ActiveModel, stored: StoredRoutes) -> hnsw.HnswIndex | None:
    """Return the stored index over the present vectors, None where the exact scan is to serve.

    Raises:
        NotReadyError: the stored index is damaged.
    """
    if not hnsw.is_installed() or (graph := route_store.stored_graph(backend, model)) is None:
        return None
    try:
        loaded = hnsw.load(graph, model.dimension)
    except RuntimeError as error:
        raise NotReadyError(
            "the hnswlib index of the routes can not be loaded",
            detail=f"hnswlib says: {error}.",
            hint="Run SELECT tiny_dancer.rebuild_indexes(); as the owner of the extension.",
        ) from None
    index = hnsw.HnswIndex(loaded, stored.vector_ids, stored.vectors)
    return index if index.stale_share <= MOST_STALE else None


def fits(configuration: Configuration, count: RouteCount, *, with_graph: bool) -> bool:
    """Return whether so many routes and vectors can be kept within the setting."""
    of_vector = 4 * configuration.required_model.dimension + BYTES_BESIDE_VECTOR
    if with_graph:
        of_vector += of_vector + hnsw.BYTES_BESIDE_VECTOR
    needed = count.routes * BYTES_OF_ROUTE + count.vectors * of_vector
    return needed <= configuration.settings.snapshot_megabytes * MEGABYTE
