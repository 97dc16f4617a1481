"""The active router model, kept by a backend as long as its epoch is the present one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiny_dancer.errors import NotReadyError

if TYPE_CHECKING:
    from tiny_dancer.learning.router_model import RouterModel
    from tiny_dancer.pg.backend import Backend
    from tiny_dancer.pg.model import ActiveModel
    from tiny_dancer.weights import DamagedWeightsError

# The active one first, then those that were active before it, the latest first.
CHOSEN = """
SELECT r.id, r.active FROM tiny_dancer.router_models r
WHERE r.activated_at IS NOT NULL
  AND EXISTS (SELECT FROM tiny_dancer.router_models a WHERE a.active)
ORDER BY r.active DESC, r.activated_at DESC, r.id DESC
"""


class ActiveRouterModel:
    """Keeps the active router model as long as its epoch is the present one."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._kept: tuple[tuple[int, int], RouterModel | None] | None = None
        self._warned_at = -1

    def current(self, epoch: int, model: ActiveModel, *, is_filtered: bool) -> RouterModel | None:
        """Return the active model, None where there is none for the vectors of today.

        Where it is damaged, the undamaged one that was active before it answers in its place, and
        a warning says so, once for each state of the models.

        Args:
            epoch: of the router models.
            model: the active embedding model.
            is_filtered: whether row-level security hides some of the models from the caller.
        """
        key = (epoch, model.id)
        if is_filtered:
            self._kept = None
            return self._read(epoch)
        if self._kept is None or self._kept[0] != key:
            self._kept = (key, self._read(epoch))
        return self._kept[1]

    def _read(self, epoch: int) -> RouterModel | None:
        rows = self._backend.rows(CHOSEN)
        if not len(rows):
            return None
        # Only where something was learned is there a need to import this.
        from tiny_dancer.pg.router_models import stored_model
        from tiny_dancer.weights import DamagedWeightsError

        damage: DamagedWeightsError | None = None
        for row in rows:
            if not row["active"] and damage is None:
                break
            try:
                found = stored_model(self._backend, row["id"])
            except DamagedWeightsError as error:
                damage = damage or error
                continue
            except NotReadyError:
                continue
            self._warn(epoch, damage, f"router model {found.id} answers in its place")
            return found
        self._warn(epoch, damage, "the router falls back on what was registered")
        return None

    def _warn(self, epoch: int, damage: DamagedWeightsError | None, instead: str) -> None:
        if damage is None or self._warned_at == epoch:
            return
        self._warned_at = epoch
        self._backend.plpy.warning(
            f"{damage.message}: {instead}",
            hint="Choose another one with ruvector_activate_router(), or train again.",
        )
