"""How good routing is in the database: the rows of routing_quality.py, through SQL.

Run with the throw-away server up (make up), on a folder with the files of routing_quality.py:

    .dev/venv/bin/python benchmarks/routing_in_database.py DATA_DIR --url "$(make -s url)"

For each work it makes a database of its own on that server, and drops it. There the agents are
registered by name alone, and every request gets the vector that the database itself makes of it
(kept for the next run). Of each split ruvector_train_router learns from the labels;
ruvector_predict_quality is asked of every test row, and ruvector_batch_route decides it. Nothing
is set or tuned.

Beside that stands the default predictor of the same seed alone, without a database. It weighs its
members by all labels, where the database first holds a tenth back to judge the model by, and it is
believed as a whole. With ``--check`` the same is done without a database, too, and the largest
difference from what the database expects is printed: nothing but rounding.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

# Small matrices: a second thread only waits, and on a busy machine for long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import psycopg
from learned_model import expected_quality, trained_model
from numpy.typing import NDArray
from routing_quality import FILES, WORKS, Floats, Judged, Rows, Work, by_seed, figure, remembered
from routing_targets import CALIBRATION_AIM, CALIBRATION_AT_MOST, TARGETS
from scratch_database import new_database
from timing import cpu_model
from tqdm import tqdm

from tiny_dancer.agents.agent import Agent
from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.evaluation.baselines import prompt_length_predictions
from tiny_dancer.evaluation.benchmark_file import Benchmark, read_benchmark
from tiny_dancer.evaluation.calibration import calibration
from tiny_dancer.evaluation.results_table import results_table
from tiny_dancer.lexical_features import lexical_matrix
from tiny_dancer.request import unit_vector

Connection = psycopg.Connection[tuple[object, ...]]

IN_DATABASE, ALONE = "in the database", "predictor alone"
ROWS_AT_ONCE = 500
PREPARE = (
    "SET client_min_messages = warning",
    "CREATE EXTENSION tiny_dancer CASCADE",
    "SELECT tiny_dancer.use_model('all-MiniLM-L6-v2')",
    "CREATE TABLE asked (id integer PRIMARY KEY, request text, embedding vector(384))",
    "CREATE TABLE answered (id integer, agent_name text, quality float8)",
    "CREATE TABLE part (id integer PRIMARY KEY, learned boolean)",
)
EMBED = """
UPDATE asked SET embedding = ruvector_embed(request) WHERE id >= %(first)s AND id < %(end)s
"""
EMBEDDED = "SELECT embedding::real[] FROM asked ORDER BY id"
GIVE_EMBEDDINGS = """
UPDATE asked SET embedding = given.embedding FROM given WHERE given.id = asked.id
"""
REGISTER = (
    "SELECT ruvector_register_agent(name, 'llm', ARRAY[]::text[]) FROM unnest(%s::text[]) AS name"
)
LEARNED = """
SELECT request, agent_name, quality, embedding
FROM asked JOIN answered USING (id) JOIN part USING (id) WHERE learned
"""
TRAIN = """
SELECT trained_predictor FROM ruvector_train_router(%s, activate := true, seed := %s)
"""
# Of all requests in one statement, as an application would ask about the rows of a table.
EXPECTED = """
SELECT asked.id, p.agent_name, p.expected_quality
FROM asked JOIN part USING (id),
     LATERAL ruvector_predict_quality(asked.request, asked.embedding::real[]) AS p
WHERE NOT learned
"""
DECIDED = """
SELECT r.agent_name
FROM (SELECT array_agg(request ORDER BY id) AS requests, array_agg(embedding ORDER BY id) AS vectors
      FROM asked WHERE id = ANY (%s)) AS a,
     LATERAL ruvector_batch_route(a.requests, 'quality', embeddings := a.vectors) AS r
ORDER BY r.ordinal
"""


@dataclass(slots=True, eq=False)
class Asked:
    """What was said of the test rows of a work, split after split.

    Attributes:
        judged: test rows and predictions of the database, of the predictor alone, and by length.
        decided: the agent that ruvector_batch_route chose for each test row.
        differences: largest difference from the same without a database, where it was asked for.
    """

    judged: Judged = field(default_factory=Judged)
    decided: list[Rows] = field(default_factory=list)
    differences: list[float] = field(default_factory=list)


def main() -> None:
    """Measure and print."""
    options = arguments()
    print(f"machine: {cpu_model()}, load average {os.getloadavg()[0]:.1f}; seeds: {options.seeds}")
    summary: list[list[str]] = []
    for key, file in FILES.items():
        wanted = [work for work in WORKS[key] if chosen(work[0], options.works)]
        if not wanted:
            continue
        if not (options.data / file).exists():
            print(f"{file} is not in {options.data}: left out")
            continue
        benchmark = read_benchmark(options.data / file)
        with (
            new_database(options.url) as url,
            psycopg.connect(url, autocommit=True) as connection,
        ):
            embeddings = prepare(connection, benchmark, options.cache)
            lexical = lexical_matrix(benchmark.prompts)
            for name, splits, paired in wanted:
                work = Work(
                    name, benchmark, embeddings, lexical, splits(benchmark), paired, options.cache
                )
                asked = ask(connection, work, options.seeds, check=options.check)
                summary += report(work, asked)
    print("\n## What was asked, and what is reached in the database\n")
    print(results_table(["work", IN_DATABASE, ALONE, "at least", "aim", "verdict"], summary))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the benchmark files")
    parser.add_argument("--url", required=True, help="of the server; its role a superuser")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "tiny_dancer_vectors"
    )
    parser.add_argument("--seeds", type=int, default=1, help="how many (default: 1)")
    parser.add_argument("--works", nargs="*", help="names of works to run, by their beginning")
    parser.add_argument("--check", action="store_true", help="do the same without a database, too")
    return parser.parse_args()


def chosen(name: str, works: list[str] | None) -> bool:
    """Whether a work is to be run."""
    return not works or name.startswith(tuple(works))


def prepare(connection: Connection, benchmark: Benchmark, cache: Path) -> NDArray[np.float32]:
    """Fill the tables, register the agents, and return the vectors of the requests."""
    for statement in PREPARE:
        connection.execute(statement)
    with connection.cursor().copy("COPY asked (id, request) FROM STDIN") as copy:
        for row in enumerate(benchmark.prompts):
            copy.write_row(row)
    with connection.cursor().copy("COPY answered FROM STDIN") as copy:
        for place, agent in np.argwhere(benchmark.mask).tolist():
            copy.write_row((place, benchmark.agents[agent], benchmark.quality[place, agent]))
    connection.execute(REGISTER, [benchmark.agents])
    embeddings = embedded(connection, benchmark.prompts, cache)
    connection.execute("ANALYZE asked, answered")
    # As ruvector_train_router takes in vectors that it is given: to the last bit.
    return np.stack([unit_vector(row, dimension=len(row), what="embedding") for row in embeddings])


def embedded(connection: Connection, prompts: list[str], cache: Path) -> NDArray[np.float32]:
    """Let the database embed the requests, or give it what it made of them before.

    Vectors are kept by the checksum of the model and the texts.
    """
    rows = connection.execute("SELECT checksum FROM tiny_dancer.models WHERE active").fetchall()
    folder = cache / str(rows[0][0])[:16]
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"requests-{hashlib.sha256(repr(prompts).encode()).hexdigest()[:16]}.npy"
    if not kept.exists():
        for first in tqdm(range(0, len(prompts), 100), desc="embedding", disable=None):
            connection.execute(EMBED, {"first": first, "end": first + 100})
        found = connection.execute(EMBEDDED).fetchall()
        np.save(kept, np.array([row[0] for row in found], np.float32))
        return np.asarray(np.load(kept), np.float32)
    vectors: NDArray[np.float32] = np.load(kept)
    connection.execute("CREATE TEMP TABLE given (id integer, embedding vector(384))")
    with connection.cursor().copy("COPY given FROM STDIN") as copy:
        for place, vector in enumerate(vectors):
            copy.write_row((place, "[" + ",".join(map(repr, vector.tolist())) + "]"))
    connection.execute(GIVE_EMBEDDINGS)
    return vectors


def ask(connection: Connection, work: Work, seeds: int, *, check: bool) -> Asked:
    """Train on every split and ask about its test rows."""
    asked = Asked()
    parts = [(seed, *split) for seed in range(seeds) for split in work.splits(seed)]
    for seed, training, test in tqdm(parts, work.name, unit="split", disable=None):
        began = time.monotonic()
        expected = in_database(connection, work, seed, training, test)
        asked.judged.seconds.setdefault(IN_DATABASE, []).append(time.monotonic() - began)
        asked.decided.append(decided(connection, work, test))
        alone, _ = remembered(work, "default", seed, training, test)
        asked.judged.rows.append(test)
        for name, predictions in (
            (IN_DATABASE, expected),
            (ALONE, alone),
            ("ridge", remembered(work, "ridge", seed, training, test)[0]),
            ("ridge + lexical", remembered(work, "ridge + lexical", seed, training, test)[0]),
            ("prompt length", by_length(work.benchmark, training, test)),
        ):
            asked.judged.predictions.setdefault(name, []).append(predictions)
        if check:
            same = without_database(work, seed, training, test)
            asked.differences.append(float(np.abs(expected - same).max()))
    return asked


def in_database(
    connection: Connection, work: Work, seed: int, training: Rows, test: Rows
) -> Floats:
    """Train on some rows, and return what is expected of each agent on others, [t, a]."""
    connection.execute("TRUNCATE part")
    with connection.cursor().copy("COPY part FROM STDIN") as copy:
        for rows, learned in ((training, True), (test, False)):
            for row in rows.tolist():
                copy.write_row((row, learned))
    connection.execute("ANALYZE part")
    connection.execute(TRAIN, [LEARNED, seed])
    place_of = {int(row): place for place, row in enumerate(test)}
    column_of = {agent: column for column, agent in enumerate(work.benchmark.agents)}
    expected = np.full((len(test), len(column_of)), np.nan)
    for row, agent, quality in connection.execute(EXPECTED):
        expected[place_of[int(str(row))], column_of[str(agent)]] = float(str(quality))
    if np.isnan(expected).any():
        raise SystemExit(f"{work.name}: some test rows got no prediction")
    return expected


def decided(connection: Connection, work: Work, test: Rows) -> Rows:
    """Return the agents that ruvector_batch_route chooses for quality alone, [t]."""
    column_of = {agent: column for column, agent in enumerate(work.benchmark.agents)}
    agents: list[int] = []
    # In the order of the table, and back to that of the test rows.
    order = np.argsort(test, kind="stable")
    for first in range(0, len(test), ROWS_AT_ONCE):
        some = test[order[first : first + ROWS_AT_ONCE]].tolist()
        agents += [column_of[str(name)] for (name,) in connection.execute(DECIDED, [some])]
    found = np.empty(len(test), dtype=np.int64)
    found[order] = agents
    return found


def by_length(benchmark: Benchmark, training: Rows, test: Rows) -> Floats:
    prompts = benchmark.prompts
    return prompt_length_predictions(
        [prompts[row] for row in test],
        [prompts[row] for row in training],
        benchmark.quality[training],
    )


def without_database(work: Work, seed: int, training: Rows, test: Rows) -> Floats:
    """What the database should expect, [t, a]: by the same code, without a server."""
    names = work.benchmark.agents
    ordered = sorted(range(len(names)), key=names.__getitem__)
    registry = AgentRegistry([Agent(names[column], id=column) for column in ordered], dimension=1)
    quality, agents = work.benchmark.quality, len(names)
    asked, acting = np.repeat(training, agents), np.tile(np.arange(agents), len(training))
    model = trained_model(work.embeddings, work.lexical, quality, asked, acting, seed=seed)
    expected = expected_quality(model, registry, work.embeddings[test], work.lexical[test])
    found = np.empty_like(expected)
    found[:, ordered] = expected
    return found


def report(work: Work, asked: Asked) -> list[list[str]]:
    """Print the table of one work; returns its rows of the summary."""
    per_seed = by_seed(asked.judged)
    measured = {
        name: np.array([figure(work, rows, predictions[name]) for rows, predictions in per_seed])
        for name in asked.judged.predictions
    }
    unit = "APGR" if work.paired else "accuracy %"
    print(f"\n## {work.name} ({len(work.benchmark.prompts)} requests)\n")
    table = [
        [name, f"{found.mean():.4f}", f"{found.std():.4f}"] for name, found in measured.items()
    ]
    print(results_table(["router", unit, "± seeds"], table))
    said(work, asked)
    summary = []
    for target in TARGETS:
        if target.work != work.name:
            continue
        base = 0.0 if target.reference is None else measured[target.reference].mean()
        name = work.name if target.reference is None else f"{work.name}, less {target.reference}"
        ours, alone = (measured[of].mean() - base for of in (IN_DATABASE, ALONE))
        bounds = [f"{target.at_least:g}", f"{target.aim:g}", target.verdict(float(ours))]
        summary.append([name, f"{ours:.4f}", f"{alone:.4f}", *bounds])
    return [*summary, calibrated(work, per_seed)]


def said(work: Work, asked: Asked) -> None:
    """Print whether the database decides by what it expects, and whether Python agrees."""
    predicted = [p.argmax(axis=1) for p in asked.judged.predictions[IN_DATABASE]]
    chosen_agents = np.concatenate(asked.decided)
    same = float((np.concatenate(predicted) == chosen_agents).mean())
    rows = np.concatenate(asked.judged.rows)
    reached = 100.0 * float(work.benchmark.quality[rows, chosen_agents].mean())
    seconds = asked.judged.seconds[IN_DATABASE]
    print(
        f"\nruvector_batch_route, for quality: mean quality of its choices {reached:.2f} %; "
        f"{100.0 * same:.2f} % are the agent of which most is expected\n"
        f"training and predicting in the database: {np.mean(seconds):.1f} s for each of "
        f"{len(seconds)} splits"
    )
    if asked.differences:
        print(f"the same without a database differs by at most {max(asked.differences):.1e}")


def calibrated(work: Work, per_seed: list[tuple[Rows, dict[str, Floats]]]) -> list[str]:
    """Return the summary of calibration: the worse of all agents and of the chosen one."""
    worst = {}
    for name in (IN_DATABASE, ALONE):
        everything, of_chosen = [], []
        for rows, predictions in per_seed:
            ours, quality = predictions[name], work.benchmark.quality[rows]
            at, best = np.arange(len(rows)), ours.argmax(axis=1)
            everything.append(calibration(ours.ravel(), quality.ravel()).excess)
            of_chosen.append(calibration(ours[at, best], quality[at, best]).excess)
        print(
            f"calibration, ECE less chance, {name}: chosen agent {np.mean(of_chosen):.4f}, "
            f"all agents {np.mean(everything):.4f}"
        )
        worst[name] = max(float(np.mean(everything)), float(np.mean(of_chosen)))
    ours = worst[IN_DATABASE]
    verdict = "MISSED" if ours > CALIBRATION_AT_MOST else "ok"
    return [
        f"{work.name}, calibration",
        f"{ours:.4f}",
        f"{worst[ALONE]:.4f}",
        f"≤ {CALIBRATION_AT_MOST:g}",
        f"≤ {CALIBRATION_AIM:g}",
        "aim" if ours <= CALIBRATION_AIM else verdict,
    ]


if __name__ == "__main__":
    main()
