"""Clients that register, route, record, reserve and lease, and retry when the server goes away."""

from __future__ import annotations

import threading
import time
import uuid
from random import Random

import psycopg
from registration import call

# The server ended the session, is not back yet, or was killed under it.
GONE = {None, "57P01", "57P02", "57P03", "08000", "08003", "08006", "53300"}
POOL, METERED, SHAKY = "shared", "metered", "shaky"
POOL_SIZE, SLOTS = 3, 2
BUDGETS = {"alpha": 0.4, "beta": 0.15}
LEASE_SECONDS = 1.0
OWN_AGENTS = 4
CACHED = "SELECT agent_name AS name, estimated_cost AS cost FROM ruvector_explain_route('hello')"
IN_TABLES = "SELECT name, cost_per_call AS cost FROM tiny_dancer.agents WHERE removed_at IS NULL"


class Client(threading.Thread):
    """One session, which is opened again when it is lost.

    Args:
        number: of the client.
        seed: what its choices depend on, beside its number.
        cluster: which it connects to.
        promises: where it notes what was acknowledged.
        stop: the event that ends the load.
    """

    def __init__(self, number, seed, cluster, promises, stop):
        super().__init__(name=f"client-{number}", daemon=True)
        self.number = number
        self.dice = Random(f"{seed}/{number}")
        self.cluster = cluster
        self.promises = promises
        self.stop = stop
        self.session = None
        self.own = []
        self.pause = 0.1
        self.ordinal = 0

    def run(self):
        try:
            while not self.stop.is_set():
                [operation] = self.dice.choices(OPERATIONS, WEIGHTS)
                self.attempt(operation)
            self.insist(lambda: self.session.execute("SELECT 1"))
        except Exception as error:
            self.promises.break_off(f"{self.name}: {type(error).__name__}: {error}")

    def attempt(self, operation):
        """Do it once; a lost session ends it, other errors must be among those it may meet."""
        try:
            self.connect()
            operation(self)
            self.promises.count(operation.__name__)
        except psycopg.Error as error:
            self.forgive(error, operation.__name__)

    def insist(self, work):
        """Do it until it is acknowledged, in new sessions where it must be; return its result."""
        while True:
            try:
                self.connect()
                return work()
            except psycopg.Error as error:
                self.forgive(error, "retried")

    def forgive(self, error, what):
        if error.sqlstate in GONE:
            self.promises.count("sessions lost")
            if self.session is not None:
                self.session.close()
            self.session = None
            time.sleep(self.pause)
            self.pause = min(2 * self.pause, 1.0)
        elif error.sqlstate in EXPECTED.get(what, ()):
            self.promises.count(f"refused with {error.sqlstate}")
        else:
            raise error

    def connect(self):
        if self.session is None:
            self.session = self.cluster.connect(application_name="load", connect_timeout=30)
            self.pause = 0.1
            self.promises.count("sessions opened")

    def call(self, function, **arguments):
        return call(self.session, function, **arguments)

    def key(self):
        self.ordinal += 1
        return f"{self.number}-{self.ordinal}-{uuid.UUID(int=self.dice.getrandbits(128))}"

    def agent(self):
        return self.dice.choice([METERED, SHAKY, *(f"{POOL}-{n}" for n in range(POOL_SIZE))])


def register(client):
    """A new agent, a new price for one of the client's, or one of them removed."""
    if client.own and (len(client.own) >= OWN_AGENTS or client.dice.random() < 0.3):
        remove(client, client.own.pop(0))
        return
    name = f"agent-{client.number}-{client.ordinal}"
    client.ordinal += 1
    price = client.dice.randrange(1, 100) / 1000
    client.insist(lambda: put_agent(client, name, price))
    client.own.append(name)
    with client.promises.lock:
        client.promises.registered.add(name)


def remove(client, name):
    try:
        client.insist(lambda: client.call("ruvector_remove_agent", name=name))
    except psycopg.errors.UndefinedObject:
        # It was removed by an attempt that was not acknowledged.
        client.promises.count("removed before the retry")


def put_agent(client, name, price):
    client.call(
        "ruvector_register_agent",
        name=name,
        agent_type="llm",
        capabilities=["chat"],
        cost_per_call=price,
    )


def roll_back_an_agent(client):
    """An agent that everybody would choose, seen by nobody but its own transaction."""
    name = f"phantom-{client.number}-{client.ordinal}"
    client.ordinal += 1
    with client.promises.lock:
        client.promises.phantoms.add(name)
    with client.session.transaction(force_rollback=True):
        put_agent(client, name, 0.0)
        client.call("ruvector_route", request="hello", optimize_for="cost")
    decide(client)


def decide(client):
    [row] = client.call(
        "ruvector_route",
        request=client.dice.choice(["Say hello", "Write code", "Translate this"]),
        optimize_for=client.dice.choice(["cost", "quality", "balanced"]),
        record=client.dice.random() < 0.3,
    )
    client.promises.decided(row.agent_name)


def record(client):
    """An outcome with an idempotency key, sometimes sent twice although it was acknowledged."""
    key, agent = client.key(), client.agent()
    outcome = {
        "agent": agent,
        "actual_cost": client.dice.randrange(1, 50) / 1000,
        "success": agent != SHAKY or client.dice.random() < 0.5,
        "latency_ms": client.dice.random() * 100,
        "idempotency_key": key,
    }
    for _ in range(client.dice.choice([1, 1, 1, 2])):
        [(usage_id,)] = client.insist(lambda: client.call("ruvector_record_usage", **outcome))
        client.promises.recorded(key, usage_id)


def reserve(client):
    """An amount set aside, and then spent in part, given back, or left to expire."""
    tags = client.dice.choice([["alpha"], ["beta"], ["alpha", "beta"]])
    amount = client.dice.randrange(10, 60) / 1000
    is_short = client.dice.random() < 0.1
    [(reservation,)] = client.call(
        "ruvector_reserve_budget",
        agent=METERED,
        estimated_cost=amount,
        tags=tags,
        ttl="1 second" if is_short else "1 hour",
    )
    note(client, reservation, "held", amount)
    if is_short:
        return
    cost = amount * client.dice.choice([0.05, 0.2])
    [end] = client.dice.choices([settle, settle_by_outcome, give_back, leave], [2, 2, 12, 1])
    end(client, reservation, cost)


def settle(client, reservation, cost):
    arguments = {"reservation": reservation, "actual_cost": cost}
    client.insist(lambda: client.call("ruvector_settle_budget", **arguments))
    note(client, reservation, "settled", cost)


def settle_by_outcome(client, reservation, cost):
    outcome = {"agent": METERED, "actual_cost": cost, "success": True, "reservation": reservation}
    outcome["idempotency_key"] = key = client.key()
    [(usage_id,)] = client.insist(lambda: client.call("ruvector_record_usage", **outcome))
    client.promises.recorded(key, usage_id)
    note(client, reservation, "settled", cost)


def give_back(client, reservation, _cost):
    client.insist(lambda: client.call("ruvector_release_budget", reservation=reservation))
    note(client, reservation, "released", 0.0)


def leave(_client, _reservation, _cost):
    """What a client that crashed does."""


def note(client, reservation, state, cost):
    with client.promises.lock:
        client.promises.reservations[reservation] = (state, cost)


def lease(client):
    """A slot of the pool for some milliseconds; one in five is never given back."""
    [taken] = client.call("ruvector_acquire", pool_or_agent=POOL, ttl=f"{LEASE_SECONDS} seconds")
    since, until = time.time(), taken.expires_at.timestamp()
    try:
        if client.dice.random() < 0.8:
            time.sleep(client.dice.random() * 0.05)
            until = min(until, time.time())
            client.call("ruvector_release", lease=taken.lease)
    finally:
        with client.promises.lock:
            client.promises.holdings.append((taken.agent_name, since, until))


def compare(client):
    """In one view of the tables, what the backend has cached is what they say."""
    with client.session.transaction():
        client.session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cached = client.session.execute(CACHED).fetchall()
        stored = client.session.execute(IN_TABLES).fetchall()
    if sorted(cached) != sorted(stored):
        different = sorted(set(cached) ^ set(stored))
        client.promises.break_off(f"{client.name}: the cache does not agree: {different}")


OPERATIONS = (register, roll_back_an_agent, decide, record, reserve, lease, compare)
WEIGHTS = (2, 1, 8, 10, 4, 4, 3)
# By operation, what it may be refused with; what is retried may be refused with nothing.
EXPECTED = {
    "reserve": {"TD002"},
    "lease": {"TD003"},
}
