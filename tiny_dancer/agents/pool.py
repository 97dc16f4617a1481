"""Pools: agents that stand for the same thing, of which a decision takes one.

The members of a pool do not compete with each other by score. The one with the least in flight for
its weight takes the pool's place, as a load balancer does it (weighted least connections), and the
places compete.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.agent import Agent

Positions = NDArray[np.intp]
Floats = NDArray[np.float64]

NO_POOL = -1


def number_pools(agents: Sequence[Agent]) -> Positions:
    """Return for each agent the number of its pool, NO_POOL for those without one, shape [n]."""
    numbers: dict[str, int] = {}
    return np.array(
        [NO_POOL if a.pool is None else numbers.setdefault(a.pool, len(numbers)) for a in agents],
        dtype=np.intp,
    )


def pool_representatives(
    positions: Positions, pool_ids: Positions, in_flight: Floats, weights: Floats
) -> Positions:
    """Return the candidates of which no pool has more than one.

    Args:
        positions: of the candidates in the registry, ascending, shape [m]. Who can take nothing
            (breaker open, no free slot) is not among them.
        pool_ids: numbers of the pools of all agents, NO_POOL without one, shape [n].
        in_flight: requests that the agents are working on, shape [n].
        weights: shares of the agents in their pools, above 0, shape [n].

    Of each pool the candidate stays with the least in flight for its weight; of equals the first
    by position, which is the first by name. The result is ascending.
    """
    pools = pool_ids[positions]
    is_member = pools != NO_POOL
    if not is_member.any():
        return positions
    members, pools = positions[is_member], pools[is_member]
    order = np.lexsort((members, in_flight[members] / weights[members], pools))
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = np.diff(pools[order]) != 0
    return np.sort(np.concatenate((positions[~is_member], members[order[is_first]])))


def keep_representatives(
    kept: NDArray[np.bool_], pool_ids: Positions, in_flight: Floats, weights: Floats
) -> None:
    """Of many requests at once, leave each at most one candidate of a pool.

    Args:
        kept: which agents are candidates of which request, shape [b, n]; changed in place.
        pool_ids: numbers of the pools of all agents, NO_POOL without one, shape [n].
        in_flight: requests that the agents are working on, shape [n].
        weights: shares of the agents in their pools, above 0, shape [n].
    """
    for pool in range(int(pool_ids.max(initial=NO_POOL)) + 1):
        members = np.flatnonzero(pool_ids == pool)
        # The order in which they are asked is the same for every request.
        members = members[np.lexsort((members, in_flight[members] / weights[members]))]
        among = kept[:, members]
        first = among.argmax(axis=1)
        anybody = among.any(axis=1)
        kept[:, members] = False
        kept[np.flatnonzero(anybody), members[first[anybody]]] = True
