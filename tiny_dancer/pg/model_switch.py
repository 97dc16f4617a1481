"""The switch from one embedding model to another: whatever has a vector gets a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiny_dancer.agents.capabilities import capability_text
from tiny_dancer.embedding.model_folder import validate_model_name
from tiny_dancer.errors import NotReadyError, shown
from tiny_dancer.pg import route_store, store
from tiny_dancer.pg.embedding import NOTICE_EVERY
from tiny_dancer.pg.model import ActiveModel
from tiny_dancer.pg.model_build import WITH_CHECKSUM, Build, check_stated, find_build

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend

MODEL = "SELECT id, name, provider, dimension, checksum FROM tiny_dancer.models WHERE name = $1"
RENAME = "UPDATE tiny_dancer.models SET name = $2 WHERE id = $1"
RUN_BY = "UPDATE tiny_dancer.models SET provider = $2 WHERE id = $1"
ADD_MODEL = """
INSERT INTO tiny_dancer.models (name, provider, dimension, checksum) VALUES ($1, $2, $3, $4)
RETURNING id, name, provider, dimension, checksum
"""
DEACTIVATE = "UPDATE tiny_dancer.models SET active = false WHERE active"
ACTIVATE = "UPDATE tiny_dancer.models SET active = true WHERE id = $1"
IRREPLACEABLE = """
SELECT a.name FROM tiny_dancer.agents a
JOIN tiny_dancer.agent_embeddings e ON e.agent_id = a.id AND e.model_id <> $1 AND e.given
WHERE a.removed_at IS NULL AND NOT EXISTS (
    SELECT FROM tiny_dancer.agent_embeddings n WHERE n.agent_id = a.id AND n.model_id = $1)
ORDER BY a.name
"""
TO_EMBED = """
SELECT a.id, a.capabilities FROM tiny_dancer.agents a
WHERE a.removed_at IS NULL AND cardinality(a.capabilities) > 0 AND NOT EXISTS (
    SELECT FROM tiny_dancer.agent_embeddings n
    WHERE n.agent_id = a.id AND n.model_id = $1 AND n.given)
ORDER BY a.id
"""
FORGET_OTHERS = "DELETE FROM tiny_dancer.agent_embeddings WHERE model_id <> $1"
IRREPLACEABLE_ROUTES = """
SELECT r.name FROM tiny_dancer.routes r
WHERE EXISTS (SELECT FROM tiny_dancer.route_utterances u
              WHERE u.route_id = r.id AND u.model_id <> $1 AND u.given)
ORDER BY r.name
"""
# The texts of a route that has no vectors of the model yet: its utterances, else its description.
ROUTES_TO_EMBED = """
SELECT r.id, r.description,
       array_agg(u.utterance ORDER BY u.id) FILTER (WHERE u.utterance IS NOT NULL) AS utterances
FROM tiny_dancer.routes r
LEFT JOIN tiny_dancer.route_utterances u ON u.route_id = r.id AND u.model_id <> $1
WHERE NOT EXISTS (SELECT FROM tiny_dancer.route_utterances n
                  WHERE n.route_id = r.id AND n.model_id = $1)
GROUP BY r.id
ORDER BY r.id
"""
FORGET_OTHERS_OF_ROUTES = "DELETE FROM tiny_dancer.route_utterances WHERE model_id <> $1"
HAS_OTHER_FIT = """
SELECT EXISTS (SELECT FROM tiny_dancer.route_heads h WHERE h.active AND h.model_id <> $1)
   AND NOT EXISTS (SELECT FROM tiny_dancer.route_heads h WHERE h.active AND h.model_id = $1)
       AS has_other_fit
"""
FORGET_GIVEN_OF_ROUTES = f"{FORGET_OTHERS_OF_ROUTES} AND given"


def use_model(
    backend: Backend,
    name: str | None,
    provider: str | None,
    dimension: int | None,
    discard: bool | None,
) -> str:
    """Make a model the active one, and embed agents and routes with it. All of it, or nothing."""
    checked = validate_model_name(name or "")
    model = _registered_model(backend, checked, provider, dimension)
    if not discard:
        _refuse_loss(backend, model)
    backend.rows(DEACTIVATE)
    backend.rows(ACTIVATE, ("bigint",), model.id)
    embedded = _embed_agents(backend, model)
    backend.rows(FORGET_OTHERS, ("bigint",), model.id)
    routes = _embed_routes(backend, model)
    _warn_of_other_fit(backend, model)
    what = f"{embedded} agents" + (f" and {routes} routes" if routes else "")
    return f"{model.description}, {what} embedded"


def _refuse_loss(backend: Backend, model: ActiveModel) -> None:
    agents = [row["name"] for row in backend.rows(IRREPLACEABLE, ("bigint",), model.id)]
    routes = [row["name"] for row in backend.rows(IRREPLACEABLE_ROUTES, ("bigint",), model.id)]
    lost = [(names, what) for names, what in ((agents, "agents"), (routes, "routes")) if names]
    if lost:
        counts = " and ".join(f"{len(names)} {what}" for names, what in lost)
        listed = "; ".join(f"{what} {_some(names)}" for names, what in lost)
        raise NotReadyError(
            f"{counts} have vectors that {shown(model.name)} can not make again",
            detail=f"Their vectors were given by the caller: {listed}.",
            hint="Pass discard := true, and give them vectors of the new model afterwards.",
        )


def _registered_model(
    backend: Backend, name: str, provider: str | None, dimension: int | None
) -> ActiveModel:
    """Return the row of a model as it is to be had now: an old one, a changed or a new one.

    Vectors of two builds are not compared, so a build of another checksum gets a row of its own
    and the old one another name. One of the same checksum makes the same vectors, whether this
    backend runs it or the embedder does: its row stays, and says who runs it.
    """
    row = backend.row(MODEL, ("text",), name)
    known = ActiveModel(**row) if row else None
    if known is None:
        return _add_model(backend, name, find_build(backend, name, provider, dimension))
    if provider not in WITH_CHECKSUM or known.provider not in WITH_CHECKSUM:
        check_stated(name, "provider", provider, known.provider)
    if known.checksum is None:
        check_stated(name, "dimension", dimension, known.dimension)
        return known
    present = "service" if known.provider == "service" else None
    build = find_build(backend, name, provider or present, dimension)
    if build.checksum != known.checksum:
        backend.rows(RENAME, ("bigint", "text"), known.id, retired_name(known))
        return _add_model(backend, name, build)
    model = known._replace(provider=build.provider)
    if model != known:
        backend.rows(RUN_BY, ("bigint", "text"), model.id, model.provider)
    # Opened once before anything refers to it: what is missing is said here.
    backend.open(model)
    return model


def retired_name(model: ActiveModel) -> str:
    """Return the name of a build that another one of the same name replaces."""
    return f"{model.name[:80]}.{(model.checksum or '')[:12]}"


def _add_model(backend: Backend, name: str, build: Build) -> ActiveModel:
    types = ("text", "text", "integer", "text")
    row: Any = backend.row(ADD_MODEL, types, name, build.provider, build.dimension, build.checksum)
    return ActiveModel(**row)


def _embed_agents(backend: Backend, model: ActiveModel) -> int:
    if model.provider == "external":
        return 0
    provider = backend.provider(backend.snapshots.configuration())
    rows = backend.rows(TO_EMBED, ("bigint",), model.id)
    for count, row in enumerate(rows, start=1):
        vector = provider.embed(capability_text(row["capabilities"]))
        store.put_agent_vector(backend, row["id"], model, vector, given=False)
        if count % NOTICE_EVERY == 0:
            backend.report_progress(f"embedded {count} of {len(rows)} agents")
    return len(rows)


def _embed_routes(backend: Backend, model: ActiveModel) -> int:
    """Embed the routes with a model that is active already, and forget their other vectors."""
    if model.provider == "external":
        # The utterances stay for a model that can embed them; without one no request meets them.
        backend.rows(FORGET_GIVEN_OF_ROUTES, ("bigint",), model.id)
        return 0
    provider = backend.provider(backend.snapshots.configuration())
    rows = backend.rows(ROUTES_TO_EMBED, ("bigint",), model.id)
    count = 0
    for route in rows:
        utterances = list(dict.fromkeys(route["utterances"] or ()))
        vectors = []
        for text in utterances or [route["description"]]:
            vectors.append(provider.embed(text))
            count += 1
            if count % NOTICE_EVERY == 0:
                backend.report_progress(f"embedded {count} utterances of {len(rows)} routes")
        texts: list[str | None] = list(utterances) or [None]
        given = [False] * len(texts)
        route_store.put_vectors(backend, route["id"], model, texts, given, vectors)
    backend.rows(FORGET_OTHERS_OF_ROUTES, ("bigint",), model.id)
    return len(rows)


def _warn_of_other_fit(backend: Backend, model: ActiveModel) -> None:
    row: Any = backend.row(HAS_OTHER_FIT, ("bigint",), model.id)
    if row["has_other_fit"]:
        backend.plpy.warning(
            f"the semantic routes were not fitted with vectors of {shown(model.name)}",
            detail="They are matched by similarity alone until they are; the fit is kept for the "
            "model that it was made with.",
            hint="Fit them with ruvector_fit_routes.",
        )


def _some(names: list[str], most: int = 10) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
