"""What the server acknowledged to the clients under load, to be held against its tables."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Promises:
    """Everything that was acknowledged; clients add to it, each under the lock.

    Attributes:
        usage: from idempotency key to every id that was returned for it.
        reservations: from id to how its client saw it end, ('held' | 'settled' | 'released', cost).
        holdings: (agent, since, until) of each lease, in seconds, as narrow as the client knows.
        registered: names whose registration was acknowledged.
        phantoms: names that were registered and rolled back.
        named: names of agents in decisions that were acknowledged.
        counts: of operations done, errors by SQLSTATE, connections made anew.
        broken: sentences about promises that were broken while the load went on.
    """

    usage: dict = field(default_factory=dict)
    reservations: dict = field(default_factory=dict)
    holdings: list = field(default_factory=list)
    registered: set = field(default_factory=set)
    phantoms: set = field(default_factory=set)
    named: set = field(default_factory=set)
    counts: Counter = field(default_factory=Counter)
    broken: list = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what, times=1):
        with self.lock:
            self.counts[what] += times

    def break_off(self, sentence):
        with self.lock:
            self.broken.append(sentence)

    def recorded(self, key, usage_id):
        with self.lock:
            self.usage.setdefault(key, set()).add(usage_id)

    def decided(self, agent):
        with self.lock:
            self.named.add(agent)


def most_at_once(intervals):
    """How many of the intervals (since, until) overlap at most; touching is no overlap."""
    steps = [step for since, until in intervals for step in ((since, 1), (until, -1))]
    most = running = 0
    for _, step in sorted(steps):
        running += step
        most = max(most, running)
    return most
