"""What embedding a text costs with each provider, how good it is, and what many clients get.

    .dev/venv/bin/python benchmarks/embedding.py

prints, for a text of 13 tokens on one thread: seconds until a fresh process can embed, its private
memory, microseconds a text; and texts a second of 1, 4 and 16 processes, each with a model of its
own or all with one embedder. A static model is measured where one was imported
(tiny-dancer model import all-MiniLM-L6-v2 --as static --models-dir .dev/models), and
sentence-transformers where --reference names a Python that has it.

    --data DIR   classifies the intents of CLINC150 and Banking77 (gzipped JSON lines with text,
                 label and, for the first, split), by nearest centroid and logistic regression
    --url URL    measures inside backends of a throw-away server, in a database that is made and
                 dropped: the first decision of a connection, its memory, and a decision from text
"""

from __future__ import annotations

import argparse
import gzip
import json
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from embedding_process import TEXT, Embed, Floats, open_embed
from first_call import REQUEST, ROUTE_TEXT, first_call, median_of, register
from numpy.typing import NDArray
from scratch_database import new_database
from timing import cpu_model, fetch_one
from tqdm import tqdm

from tiny_dancer.embedding.model_folder import list_model_names, read_model_folder
from tiny_dancer.training.adam import Adam
from tiny_dancer.training.softmax_cross_entropy import SoftmaxCrossEntropy

PROCESS = Path(__file__).with_name("embedding_process.py")
MODELS = Path(__file__).parents[1] / ".dev" / "models"
CLIENTS = (1, 4, 16)
SECONDS = 3.0
EPOCHS = 40
BATCH = 512
# Share of Banking77 that is tested on; CLINC150 says which rows are.
TESTED = 0.2
PROVIDERS = ("hashing", "static", "onnx", "service", "sentence-transformers")


def main() -> None:
    """Measure and print."""
    arguments = parse_arguments()
    print(f"machine: {cpu_model()}, {len(os.sched_getaffinity(0))} cores")
    print(f"load average at the start {os.getloadavg()[0]:.1f}")
    places = find_places(arguments)
    # As on a server with other backends: what they map too is not counted as private.
    mapped = [map_file(file) for place in places.values() for file in model_files(place)]
    with tempfile.TemporaryDirectory(prefix="td") as folder:
        with embedder(arguments, Path(folder) / "e.sock") as socket:
            places["service"] = str(socket)
            print_single(arguments, places)
            print_throughput(arguments, places)
        del places["service"]
    if arguments.data:
        print_quality(arguments, places)
    if arguments.url:
        print_backends(arguments, places)
    for mapping in mapped:
        mapping.close()
    print(f"load average at the end {os.getloadavg()[0]:.1f}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models-dir", type=Path, default=MODELS, help="default: .dev/models")
    parser.add_argument("--model", default="all-MiniLM-L6-v2", help="an onnx model there")
    parser.add_argument("--threads", type=int, default=2, help="of the embedder (default: 2)")
    parser.add_argument("--texts", type=int, default=300, help="timed for each median")
    parser.add_argument("--data", type=Path, help="folder with the sets of intents")
    parser.add_argument("--url", help="of a throw-away server; its role a superuser")
    parser.add_argument(
        "--reference",
        nargs=2,
        metavar=("PYTHON", "NAME_OR_PATH"),
        help="a Python with sentence-transformers, and the model as that takes it",
    )
    return parser.parse_args()


def find_places(arguments: argparse.Namespace) -> dict[str, str]:
    """Return what each provider that can be measured is opened from."""
    places = {"hashing": "384", "onnx": str(arguments.models_dir / arguments.model)}
    for name in list_model_names(arguments.models_dir):
        folder = arguments.models_dir / name
        if read_model_folder(folder).manifest.provider == "static":
            places["static"] = str(folder)
    if "static" not in places:
        print(f"no static model is in {arguments.models_dir}: left out")
    return {name: places[name] for name in PROVIDERS if name in places}


def model_files(place: str) -> list[Path]:
    return [file for file in Path(place).glob("*") if file.stat().st_size]


def map_file(file: Path) -> mmap.mmap:
    """Map a file and touch each of its pages."""
    with file.open("rb") as stream:
        mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    for page in range(0, len(mapping), mmap.PAGESIZE):
        _ = mapping[page]
    return mapping


@contextmanager
def embedder(arguments: argparse.Namespace, socket: Path) -> Iterator[Path]:
    """Run an embedder of the onnx model; yield its socket once it is ready."""
    command = [sys.executable, "-m", "tiny_dancer.cli", "embedder", arguments.model]
    command += ["--models-dir", str(arguments.models_dir), "--socket", str(socket)]
    command += ["--threads", str(arguments.threads), "--queue", "4096"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline().startswith("ready: "):
                raise SystemExit("the embedder did not start")
            yield socket
        finally:
            process.terminate()


def print_single(arguments: argparse.Namespace, places: dict[str, str]) -> None:
    """Print what one process pays."""
    measured = {
        provider: measure_process(arguments, provider, place)
        for provider, place in tqdm(places.items(), desc="one process", leave=False, disable=None)
    }
    reference = None
    if arguments.reference:
        provider = "sentence-transformers"
        measured[provider] = measure_process(arguments, provider, arguments.reference[1])
        reference = np.array(measured[provider]["vectors"])
    print("\none process, one thread, a text of 13 tokens; ready counts from the interpreter on")
    print(f"{'':22}{'ready s':>9}{'private MB':>12}{'us/text':>10}{'cosine to reference':>21}")
    for provider, found in measured.items():
        cosine = "-"
        if reference is not None and found["dimension"] == reference.shape[1]:
            cosine = f"{(np.array(found['vectors']) * reference).sum(axis=1).mean():.4f}"
        print(
            f"{provider:22}{found['ready']:>9.2f}{found['megabytes']:>12.0f}"
            f"{found['microseconds']:>10.1f}{cosine:>21}"
        )


def print_throughput(arguments: argparse.Namespace, places: dict[str, str]) -> None:
    """Print what several processes get at once."""
    print(f"\ntexts a second of several processes; the embedder has {arguments.threads} threads")
    print(f"{'processes':22}" + "".join(f"{count:>12}" for count in CLIENTS) + f"{'MB of 16':>12}")
    for provider in ("onnx", "service"):
        rates, megabytes = [], 0.0
        for count in tqdm(CLIENTS, desc=provider, leave=False, disable=None):
            found = run_together(arguments, provider, places[provider], count)
            rates.append(sum(each["rate"] for each in found))
            megabytes = sum(each["megabytes"] for each in found)
        label = "a model each (onnx)" if provider == "onnx" else "one embedder (service)"
        print(f"{label:22}" + "".join(f"{rate:>12.0f}" for rate in rates) + f"{megabytes:>12.0f}")


def measure_process(arguments: argparse.Namespace, provider: str, place: str) -> Any:
    return finish(start(arguments, provider, place, "--texts", str(arguments.texts)))


def run_together(arguments: argparse.Namespace, provider: str, place: str, count: int) -> list[Any]:
    more = ("--seconds", str(SECONDS))
    return [finish(one) for one in [start(arguments, provider, place, *more) for _ in range(count)]]


def start(
    arguments: argparse.Namespace, provider: str, place: str, *more: str
) -> subprocess.Popen[str]:
    python = sys.executable if provider != "sentence-transformers" else arguments.reference[0]
    # A backend has one thread for native libraries too.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    paths = [str(PROCESS.parents[1]), os.environ.get("PYTHONPATH")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return subprocess.Popen(
        [python, str(PROCESS), provider, place, "--model", arguments.model, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )


def finish(process: subprocess.Popen[str]) -> Any:
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"a measured process failed: {process.args}")
    return json.loads(out.splitlines()[-1])


def print_quality(arguments: argparse.Namespace, places: dict[str, str]) -> None:
    """Print how well intents are told apart by the vectors."""
    sets = {"CLINC150": read_clinc(arguments.data), "Banking77": read_banking(arguments.data)}
    print("\naccuracy in %: nearest centroid / logistic regression")
    print(f"{'':22}" + "".join(f"{name:>16}" for name in sets))
    for provider, place in places.items():
        embed = open_embed(provider, place, arguments.model)
        cells = []
        for name, parts in sets.items():
            (train, labels), (test, truth) = (
                (embed_all(texts, embed, f"{provider} {name}"), np.array(labels))
                for texts, labels in parts
            )
            accuracies = (by_centroid(train, labels, test), by_regression(train, labels, test))
            cells.append(" / ".join(f"{100 * np.mean(a == truth):.1f}" for a in accuracies))
        print(f"{provider:22}" + "".join(f"{cell:>16}" for cell in cells))


Labelled = tuple[list[str], list[str]]


def read_clinc(folder: Path) -> tuple[Labelled, Labelled]:
    rows = read_lines(folder / "clinc150.jsonl.gz")
    return tuple(  # type: ignore[return-value]
        (
            [row["text"] for row in rows if row["split"] == split],
            [row["label"] for row in rows if row["split"] == split],
        )
        for split in ("train", "val")
    )


def read_banking(folder: Path) -> tuple[Labelled, Labelled]:
    rows = read_lines(folder / "banking77.jsonl.gz")
    order = np.random.default_rng(0).permutation(len(rows))
    cut = int(len(rows) * TESTED)
    return tuple(  # type: ignore[return-value]
        ([rows[i]["text"] for i in part], [rows[i]["label"] for i in part])
        for part in (order[cut:], order[:cut])
    )


def read_lines(path: Path) -> list[Any]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def embed_all(texts: Sequence[str], embed: Embed, what: str) -> Floats:
    return np.stack([embed(text) for text in tqdm(texts, desc=what, leave=False, disable=None)])


def by_centroid(train: Floats, labels: NDArray[Any], test: Floats) -> NDArray[Any]:
    names, numbers = np.unique(labels, return_inverse=True)
    centroids = np.zeros((len(names), train.shape[1]))
    np.add.at(centroids, numbers, train)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    return np.asarray(names[(test @ centroids.T).argmax(axis=1)])


def by_regression(train: Floats, labels: NDArray[Any], test: Floats) -> NDArray[Any]:
    """Predict by a softmax regression, trained by Adam on unit vectors made longer."""
    names, numbers = np.unique(labels, return_inverse=True)
    inputs = 10.0 * train.astype(np.float32)
    weights = {
        "w": np.zeros((train.shape[1], len(names)), np.float32),
        "b": np.zeros(len(names), np.float32),
    }
    loss = SoftmaxCrossEntropy(numbers, len(names))
    adam = Adam(weights, learning_rate=0.01, weight_decay=0.01)
    random = np.random.default_rng(0)
    for _ in range(EPOCHS):
        order = random.permutation(len(inputs))
        for first in range(0, len(order), BATCH):
            rows = order[first : first + BATCH]
            _, error = loss(inputs[rows] @ weights["w"] + weights["b"], rows)
            adam.step({"w": inputs[rows].T @ error, "b": error.sum(axis=0)})
    return np.asarray(names[(10.0 * test @ weights["w"] + weights["b"]).argmax(axis=1)])


LOOP = """
CREATE FUNCTION loop_text(content text, calls integer) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz := clock_timestamp();
    chosen text;
BEGIN
    FOR i IN 1..calls LOOP
        SELECT agent_name INTO chosen FROM ruvector_route(content);
    END LOOP;
    RETURN extract(epoch FROM clock_timestamp() - began)::float8 * 1e6 / calls;
END $$;
"""


def print_backends(arguments: argparse.Namespace, places: dict[str, str]) -> None:
    """Print what backends of a server pay; models must be installed there, too."""
    import psycopg

    print("\ninside backends, ten agents: first decision of a connection, and each one after it")
    print(f"{'':22}{'first ms':>10}{'private MB':>12}{'us, text':>12}")
    with new_database(arguments.url) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET client_min_messages = warning")
            connection.execute("CREATE EXTENSION tiny_dancer CASCADE")
            connection.execute("SELECT tiny_dancer.use_model('hashing', 'hashing', 384)")
            connection.execute(LOOP)
            register(connection, range(10))
        for provider in places:
            name = provider if provider == "hashing" else Path(places[provider]).name
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("SELECT tiny_dancer.use_model(%s)", [name])
            calls = [first_call(url, ROUTE_TEXT, (REQUEST,)) for _ in range(8)][1:]
            with psycopg.connect(url, autocommit=True) as connection:
                fetch_one(connection, f"SELECT loop_text('{TEXT}', 20)")
                loops = [
                    fetch_one(connection, f"SELECT loop_text('{TEXT}', 200)") for _ in range(7)
                ]
            print(
                f"{provider:22}{median_of([c.milliseconds for c in calls], 0):>10}"
                f"{median_of([c.megabytes for c in calls]):>12}{statistics.median(loops):>12.1f}"
            )


if __name__ == "__main__":
    main()
