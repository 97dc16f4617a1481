"""How good semantic routes are once they are fitted, on public intents, through SQL.

Run with the throw-away server up (make up), on a folder with clinc150.jsonl.gz and
banking77.jsonl.gz (rows of split, text and label; `oos` means out of scope):

    .dev/venv/bin/python benchmarks/route_quality.py DATA_DIR --url "$(make -s url)"

It makes a database of its own on that server and drops it. Every intent becomes a route whose
utterances are the training texts; ruvector_fit_routes then learns from the same texts, and, of
CLINC150, from its training texts out of scope. ruvector_evaluate_routes judges texts that neither
has seen: of CLINC150 the validation texts, of Banking77 a fifth of each intent, held back by seed.
Thresholds are those of the fit; nothing is chosen on the texts that are judged. ``--picture`` draws
the reliability of the confidence, of all seeds together.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psycopg
from reliability_picture import reliability_picture
from scratch_database import new_database
from timing import cpu_model
from tqdm import tqdm
from vector_text import text_of

from tiny_dancer.evaluation.results_table import results_table

FILES = {"clinc": "clinc150.jsonl.gz", "banking": "banking77.jsonl.gz"}
OUT_OF_SCOPE = "oos"
SHOTS = 10
HELD_BACK = 0.2
BINS = 10
# metric: least, aim, and whether less is better. Of issue 4.
TARGETS = {
    ("CLINC150", "accuracy"): (0.945, 0.96, False),
    ("CLINC150", "out_of_scope_recall"): (0.70, 0.80, False),
    ("CLINC150", "out_of_scope_auroc"): (0.980, 0.988, False),
    ("CLINC150", "calibration_error"): (0.03, 0.01, True),
    ("Banking77, full", "accuracy_if_accepted_all"): (0.925, 0.94, False),
    ("Banking77, full", "calibration_error"): (0.03, 0.01, True),
    (f"Banking77, {SHOTS}-shot", "accuracy_if_accepted_all"): (0.845, 0.88, False),
    (f"Banking77, {SHOTS}-shot", "calibration_error"): (0.03, 0.01, True),
}
SHOWN = (
    "accuracy_if_accepted_all",
    "accuracy",
    "accepted",
    "out_of_scope_recall",
    "out_of_scope_auroc",
    "out_of_scope_accepted_at_95",
    "calibration_error",
    "brier",
    "seconds",
)
PREPARE = (
    "SET client_min_messages = warning",
    "CREATE EXTENSION tiny_dancer CASCADE",
    "SELECT tiny_dancer.use_model('all-MiniLM-L6-v2')",
    "CREATE TABLE given (text text, route_name text, learned boolean, utterance boolean)",
    "CREATE TABLE embedded (text text PRIMARY KEY, embedding vector)",
)
EMBED = "INSERT INTO embedded SELECT t, ruvector_embed(t) FROM unnest(%s::text[]) AS t"
VECTORS = """
SELECT embedding::real[] FROM embedded WHERE text = ANY (%s) ORDER BY text COLLATE "C"
"""
# As ruvector_create_route stores them, but without embedding the same text for every seed again.
ROUTES = """
INSERT INTO tiny_dancer.routes (name, description, target_agent)
SELECT DISTINCT route_name, translate(route_name, '_', ' '), 'agent'
FROM given WHERE utterance
"""
UTTERANCES = """
INSERT INTO tiny_dancer.route_utterances (route_id, model_id, utterance, embedding)
SELECT DISTINCT ON (r.id, g.text) r.id, m.id, g.text, e.embedding
FROM given g JOIN tiny_dancer.routes r ON r.name = g.route_name JOIN embedded e USING (text),
     tiny_dancer.models m
WHERE g.utterance AND m.active
"""
LEARNED = "SELECT text, route_name FROM given WHERE learned"
JUDGED = "SELECT text, route_name FROM given WHERE NOT learned"


@dataclass(frozen=True, slots=True)
class Row:
    """One text of a data set; the label is None out of scope."""

    split: str
    text: str
    label: str | None


@dataclass(frozen=True, slots=True)
class Split:
    """What one seed learns from and is judged by."""

    learned: Sequence[Row]
    judged: Sequence[Row]


@dataclass(slots=True)
class Results:
    """Figures by metric, one per seed; those before the fit, of the first seed; diagram bins."""

    figures: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    bins: list[tuple[float, float, float]] = field(default_factory=list)
    unfitted: dict[str, float] = field(default_factory=dict)


def main() -> None:
    """Measure and print."""
    arguments = parse_arguments()
    print(f"machine: {cpu_model()}, load average {os.getloadavg()[0]:.1f}")
    works = {name: WORKS[name] for name in arguments.work}
    sets = {data: list(read(arguments.data / FILES[data])) for _, data, _ in works.values()}
    results: dict[str, Results] = {}
    with (
        new_database(arguments.url) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        for statement in PREPARE:
            connection.execute(statement)
        embed_all(connection, sets, arguments.cache)
        runs = [(name, seed) for name in works for seed in range(arguments.seeds)]
        for name, seed in tqdm(runs, desc="fitting", leave=False, disable=None):
            title, data, split = works[name]
            measure(connection, split(sets[data], seed), seed, results.setdefault(title, Results()))
    print_results(results, arguments.seeds)
    if arguments.picture is not None:
        arguments.picture.write_text(
            reliability_picture({title: found.bins for title, found in results.items()})
        )
        print(f"drawn: {arguments.picture}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, help="folder with the data sets")
    parser.add_argument("--url", required=True, help="of the server; its role a superuser")
    parser.add_argument("--seeds", type=int, default=5, help="how many (default: 5)")
    parser.add_argument("--work", nargs="+", choices=list(WORKS), default=list(WORKS))
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "tiny_dancer_vectors",
        help="folder where vectors are kept for the next run",
    )
    parser.add_argument("--picture", type=Path, help="SVG file to draw the reliability to")
    return parser.parse_args()


def read(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            label = None if row["label"] == OUT_OF_SCOPE else row["label"]
            yield Row(row["split"], row["text"], label)


def clinc(rows: Sequence[Row], seed: int) -> Split:
    """The split of the data set itself: the seed is that of the fit."""
    learned = [row for row in rows if row.split in ("train", "oos_train")]
    judged = [row for row in rows if row.split in ("val", "oos_val")]
    return Split(learned, judged)


def banking(rows: Sequence[Row], seed: int) -> Split:
    """A fifth of each intent is held back."""
    generator = np.random.default_rng(seed)
    learned, judged = [], []
    for of_label in by_label(rows).values():
        order = generator.permutation(len(of_label))
        held_back = max(1, round(HELD_BACK * len(of_label)))
        judged += [of_label[i] for i in order[:held_back]]
        learned += [of_label[i] for i in order[held_back:]]
    return Split(learned, judged)


def banking_few(rows: Sequence[Row], seed: int) -> Split:
    """The same, learning from but a few texts of each intent."""
    full = banking(rows, seed)
    few = [row for of_label in by_label(full.learned).values() for row in of_label[:SHOTS]]
    return Split(few, full.judged)


def by_label(rows: Sequence[Row]) -> dict[str | None, list[Row]]:
    grouped: dict[str | None, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row.label, []).append(row)
    return grouped


WORKS: dict[str, tuple[str, str, Callable[[Sequence[Row], int], Split]]] = {
    "clinc": ("CLINC150", "clinc", clinc),
    "banking": ("Banking77, full", "banking", banking),
    "banking-few": (f"Banking77, {SHOTS}-shot", "banking", banking_few),
}


def embed_all(
    connection: psycopg.Connection[tuple[object, ...]], sets: dict[str, list[Row]], cache: Path
) -> None:
    """Embed every text that can become an utterance, once, and keep the vectors for the next run.

    They are kept by the checksum of the model and the text, so that another model gets its own.
    """
    rows = connection.execute("SELECT checksum FROM tiny_dancer.models WHERE active").fetchall()
    folder = cache / str(rows[0][0])[:16]
    folder.mkdir(parents=True, exist_ok=True)
    for name, of_set in sets.items():
        texts = sorted({row.text for row in of_set if row.split == "train" and row.label})
        kept = folder / f"{name}-{hashlib.sha256(repr(texts).encode()).hexdigest()[:16]}.npy"
        if not kept.exists():
            parts = range(0, len(texts), 200)
            for start in tqdm(parts, desc=f"embedding {name}", leave=False, disable=None):
                connection.execute(EMBED, [texts[start : start + 200]])
            found = connection.execute(VECTORS, [texts]).fetchall()
            np.save(kept, np.array([row[0] for row in found], np.float32))
            continue
        vectors = np.load(kept)
        with connection.cursor().copy("COPY embedded FROM STDIN") as copy:
            for text, vector in zip(texts, vectors, strict=True):
                copy.write_row((text, text_of(vector)))


def measure(
    connection: psycopg.Connection[tuple[object, ...]], split: Split, seed: int, results: Results
) -> None:
    """Fit the routes of one split and judge them."""
    connection.execute("TRUNCATE tiny_dancer.routes CASCADE")
    connection.execute("TRUNCATE given")
    with connection.cursor().copy(
        "COPY given (text, route_name, learned, utterance) FROM STDIN"
    ) as copy:
        for row in split.learned:
            copy.write_row((row.text, row.label, True, row.label is not None))
        for row in split.judged:
            copy.write_row((row.text, row.label, False, False))
    connection.execute(ROUTES)
    connection.execute(UTTERANCES)
    if seed == 0:
        for (section, metric), value in evaluated(connection).items():
            if section == "total":
                results.unfitted[metric] = value
    began = time.monotonic()
    connection.execute("SELECT * FROM ruvector_fit_routes(%s, seed := %s)", [LEARNED, seed])
    results.figures["seconds"].append(time.monotonic() - began)
    found = evaluated(connection)
    for (section, metric), value in found.items():
        if section == "total":
            results.figures[metric].append(value)
    for number in range(1, BINS + 1):
        parts = [
            found["reliability", f"bin {number} {part}"]
            for part in ("confidence", "right", "examples")
        ]
        results.bins.append((parts[0], parts[1], parts[2]))


def evaluated(connection: psycopg.Connection[tuple[object, ...]]) -> dict[tuple[str, str], float]:
    """Judge the present routes; figures by section and metric."""
    rows = connection.execute(
        "SELECT section, metric, value FROM ruvector_evaluate_routes(%s)", [JUDGED]
    ).fetchall()
    return {(str(section), str(metric)): float(str(value)) for section, metric, value in rows}


def print_results(results: dict[str, Results], seeds: int) -> None:
    rows = []
    for title, found in results.items():
        for metric in SHOWN:
            values = found.figures.get(metric)
            if values:
                before = f"{found.unfitted[metric]:.4f}" if metric in found.unfitted else ""
                verdict = judged(title, metric, values)
                rows.append([f"{title}: {metric}", before, *shown(values), *verdict])
    print(f"unfitted: of the first seed, before the fit; mean and deviation of {seeds} seeds")
    print(results_table(["", "unfitted", "mean", "deviation", "at least", "aim", ""], rows))


def shown(values: Sequence[float]) -> list[str]:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return [f"{statistics.mean(values):.4f}", f"{deviation:.4f}"]


def judged(title: str, metric: str, values: Sequence[float]) -> list[str]:
    if (title, metric) not in TARGETS:
        return ["", "", ""]
    least, aim, is_less_better = TARGETS[title, metric]
    sign = -1.0 if is_less_better else 1.0
    mean = sign * statistics.mean(values)
    verdict = "aim" if mean >= sign * aim else "ok" if mean >= sign * least else "MISSED"
    return [f"{least:g}", f"{aim:g}", verdict]


if __name__ == "__main__":
    main()
