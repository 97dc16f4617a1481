"""What happens to a server under load: sessions ended, a process killed, the server stopped."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from random import Random

import psycopg

SESSIONS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'load'"


class Faults(threading.Thread):
    """Ends sessions all the time, and kills or stops the server at given moments.

    Args:
        cluster: the server.
        seed: what is chosen depends on it.
        seconds: how long it lasts; the last quarter is quiet.

    Attributes:
        counts: of faults by kind.
        recoveries: seconds from each crash or stop until the server answered again.
        problem: the error that ended it, None if it ran to its end.
    """

    def __init__(self, cluster, seed, seconds):
        super().__init__(name="faults", daemon=True)
        self.cluster = cluster
        self.dice = Random(f"{seed}/faults")
        self.seconds = seconds
        self.counts = Counter()
        self.recoveries = []
        self.problem = None

    def run(self):
        strikes = [(0.25, self.kill_one), (0.5, self.stop_at_once), (0.75, self.kill_one)]
        began = time.monotonic()
        try:
            for share, strike in strikes:
                while time.monotonic() < began + share * self.seconds:
                    time.sleep(1)
                    self.end_some()
                strike()
            # Whoever came through the last fault goes on for a while, with what it has cached.
            time.sleep(max(0.0, began + self.seconds - time.monotonic()))
        except Exception as error:
            self.problem = error

    def end_some(self):
        """pg_terminate_backend() for up to three sessions."""
        with self.cluster.connect("postgres") as session:
            pids = [pid for (pid,) in session.execute(SESSIONS).fetchall()]
            for pid in self.dice.sample(pids, min(len(pids), self.dice.randrange(4))):
                session.execute("SELECT pg_terminate_backend(%s)", [pid])
                self.counts["sessions terminated"] += 1

    def kill_one(self):
        """SIGKILL to one backend: the postmaster ends all others and recovers."""
        with self.cluster.connect("postgres") as session:
            pids = [pid for (pid,) in session.execute(SESSIONS).fetchall()]
        [pid] = self.dice.sample(pids, 1)
        assert parent_of(pid) == self.cluster.pid()
        os.kill(pid, signal.SIGKILL)
        self.counts["backends killed"] += 1
        self.wait_until_back()

    def stop_at_once(self):
        """An immediate stop, which is a crash by command, and a start."""
        self.cluster.stop("immediate")
        self.counts["immediate stops"] += 1
        self.cluster.start()
        self.wait_until_back()

    def wait_until_back(self):
        began = time.monotonic()
        # A server whose process was killed answers for a moment as if nothing had happened.
        time.sleep(0.2)
        while True:
            try:
                self.cluster.connect("postgres", connect_timeout=30).close()
            except psycopg.OperationalError:
                assert time.monotonic() < began + 60, "the server does not come back"
                time.sleep(0.02)
            else:
                break
        self.recoveries.append(time.monotonic() - began)


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
