"""Waiting for a call of another session to be at work: a cancel that comes sooner is lost."""

import time

STATE = "SELECT state FROM pg_stat_activity WHERE pid = %s"
PATIENCE = 30.0


def wait_until_at_work(observer, session):
    """Return once the session's backend runs a statement."""
    deadline = time.monotonic() + PATIENCE
    pid = session.info.backend_pid
    while observer.execute(STATE, [pid]).fetchone().state != "active":
        assert time.monotonic() < deadline
        time.sleep(0.005)
