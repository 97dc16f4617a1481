"""A disk that is full: what writes says so and leaves nothing half-written, what reads goes on."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager

import psycopg
import pytest
from cluster import FOLDER, UNSAFE, Cluster, own_folder, server_user
from outcomes import settings
from registration import call, explain, register, register_four
from routes import create
from training import train_quickly

DISK = FOLDER / "small-disk"
FILLER = DISK / "filler"
MANY = 20_000
READING = [
    ("ruvector_route", {"request": "hello"}),
    ("ruvector_explain_route", {"request": "hello"}),
    ("ruvector_semantic_route", {"query": "hello"}),
    ("ruvector_classify_request", {"request": "hello"}),
    ("ruvector_routing_stats", {}),
    ("ruvector_routing_analytics", {}),
    ("ruvector_budget_status", {}),
    ("ruvector_pool_status", {}),
    ("tiny_dancer.list_settings", {}),
]
RECORDED = """
SELECT array_agg(idempotency_key::text), coalesce(sum(cost::numeric), 0) AS spent
FROM tiny_dancer.usage WHERE idempotency_key IS NOT NULL
"""
CHARGED = "SELECT coalesce(sum(amount), 0) AS charged FROM tiny_dancer.budget_charges"
KEYS = "SELECT array_agg(key::text) FROM tiny_dancer.usage_keys"


@contextmanager
def small_disk(megabytes):
    """A file system in memory; the test is skipped where none can be mounted."""
    if DISK.is_mount():
        # Left behind by a run that was killed.
        Cluster("full-log", 5439, folder=DISK / "data").stop("immediate")
        subprocess.run(["umount", str(DISK)], check=True)
    own_folder(DISK)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "none", str(DISK)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a small disk can not be mounted here: {done.stderr.strip()}")
    if os.geteuid() == 0:
        os.chown(DISK, server_user().pw_uid, server_user().pw_gid)
    try:
        yield DISK
    finally:
        subprocess.run(["umount", str(DISK)], check=True)


def fill(spare=0):
    """Take all the room there is, but for some bytes."""
    with FILLER.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            file.truncate(file.tell() - spare)


def prepare(session):
    settings(session, live_state_seconds="0")
    register_four(session)
    create(session, "greeting", "gpt-3.5", "hello")
    train_quickly(session)
    call(session, "ruvector_set_budget", limit_amount=1e6, period="month")


def record(session, key):
    usage = {"agent": "gpt-4", "actual_cost": 0.25, "success": True, "idempotency_key": key}
    [(usage_id,)] = call(session, "ruvector_record_usage", **usage)
    return usage_id


def record_until_refused(session, acknowledged):
    """Record with one key after the other; add those acknowledged, return the error."""
    for ordinal in range(len(acknowledged), MANY):
        key = f"key-{ordinal}"
        try:
            acknowledged[key] = record(session, key)
        except psycopg.Error as error:
            return error
    pytest.fail(f"{MANY} outcomes went onto a full disk")


def assert_nothing_is_half_written(session, acknowledged):
    [(keys, spent)] = session.execute(RECORDED).fetchall()
    [(remembered,)] = session.execute(KEYS).fetchall()
    assert sorted(keys or ()) == sorted(remembered or ()) == sorted(acknowledged)
    assert session.execute(CHARGED).fetchall() == [(spent,)]


@pytest.fixture
def cluster():
    made = Cluster("full", 5438).create(**UNSAFE).start()
    try:
        with small_disk(96) as disk:
            space = own_folder(disk / "space")
            with made.connect("postgres") as session:
                session.execute(f"CREATE TABLESPACE small LOCATION '{space}'")
            with made.create_database(clause="TABLESPACE small") as session:
                prepare(session)
            yield made
            made.stop("immediate")
    finally:
        made.remove()


def test_with_the_database_on_a_full_disk(cluster, figure):
    with cluster.connect() as session:
        before = explain(session)
        acknowledged = {key: record(session, key) for key in ("key-0", "key-1")}
        fill()
        error = record_until_refused(session, acknowledged)
        refused_key = f"key-{len(acknowledged)}"
        assert error.sqlstate == "53100", error
        for function, arguments in READING:
            assert call(session, function, **arguments), function
        with cluster.connect() as fresh:
            assert explain(fresh).keys() == before.keys()
        assert_nothing_is_half_written(session, acknowledged)
        FILLER.unlink()
        acknowledged[refused_key] = record(session, refused_key)
        assert record(session, refused_key) == acknowledged[refused_key]
        assert register(session, "new")
        assert_nothing_is_half_written(session, acknowledged)
    figure("outcomes recorded in all", len(acknowledged))


@pytest.fixture
def small_cluster():
    with small_disk(160) as disk:
        made = Cluster("full-log", 5439, folder=disk / "data")
        try:
            made.create("--wal-segsize=1", min_wal_size="2MB", max_wal_size="4MB").start()
            with made.create_database() as session:
                prepare(session)
            yield made
        finally:
            made.stop("immediate")


def test_with_data_and_log_on_a_full_disk(small_cluster, figure):
    """PostgreSQL itself stops when its log has no room; what was acknowledged is there again."""
    with small_cluster.connect() as session:
        acknowledged = {key: record(session, key) for key in ("key-0", "key-1")}
        # Less than the next segment of the log takes.
        fill(spare=700_000)
        error = record_until_refused(session, acknowledged)
    figure(
        f"outcomes before the disk was full ({error.sqlstate or 'server stopped'})",
        len(acknowledged),
    )
    small_cluster.stop("immediate")
    FILLER.unlink()
    small_cluster.start()
    with small_cluster.connect() as session:
        [(keys, _)] = session.execute(RECORDED).fetchall()
        assert set(acknowledged) <= set(keys)
        # The one that was refused may have reached the log, and its retry finds it.
        assert len(keys) <= len(acknowledged) + 1
        assert {key: record(session, key) for key in acknowledged} == acknowledged
        assert_nothing_is_half_written(session, keys)
        assert explain(session)
