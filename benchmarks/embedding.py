"""What embedding a text costs with each provider: latency, throughput, memory; 1, 4, 16 clients.

    .dev/venv/bin/python benchmarks/embedding.py

prints, for a text of 13 tokens on one thread: seconds until a fresh process can embed, its private
memory, microseconds a text; then what 1, 4 and 16 processes get that embed at the same time, each
asking again as soon as it has its answer, with a model of their own (static, onnx) or all with one
embedder (service). A static model is imported first where there is none, which takes a minute
or two; sentence-transformers is measured where --reference names a Python that has it.

    --url URL    measures inside backends of a throw-away server, in a database that is made and
                 dropped: the first decision of a connection, and a decision from text beside
                 embedding alone and a decision alone; on this host, where its models may be written
    --data DIR   classifies the intents of CLINC150 and Banking77 (gzipped JSON lines with text,
                 label and, for the first, split), by nearest centroid and logistic regression
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from embedding_process import private_megabytes
from embedding_quality import print_quality
from figures import Figure, note
from running_embedder import running_embedder
from timing import cpu_model
from tqdm import tqdm

from tiny_dancer.cli.progress_bar import ProgressBar
from tiny_dancer.embedding.importing.static_importer import import_static
from tiny_dancer.embedding.model_folder import list_model_names, read_model_folder

PROCESS = Path(__file__).with_name("embedding_process.py")
MODELS = Path(__file__).parents[1] / ".dev" / "models"
CLIENTS = (1, 4, 16)
SECONDS = 2.0
PROVIDERS = ("hashing", "static", "onnx", "service", "sentence-transformers")


def main() -> None:
    """Measure and print."""
    arguments = parse_arguments()
    print(f"machine: {cpu_model()}, {len(os.sched_getaffinity(0))} cores")
    print(f"load average at the start {os.getloadavg()[0]:.1f}")
    places = find_places(arguments)
    # As on a server with other backends: what they map too is not counted as private.
    mapped = [map_file(file) for place in places.values() for file in model_files(place)]
    if arguments.providers:
        places = {name: places[name] for name in arguments.providers}
        print_single(arguments, places)
    else:
        with (
            tempfile.TemporaryDirectory(prefix="td") as folder,
            running_embedder(
                arguments.model,
                arguments.models_dir,
                *("--threads", str(arguments.threads), "--socket", str(Path(folder) / "e.sock")),
            ) as running,
        ):
            served = {**places, "service": str(running.socket)}
            print_single(arguments, served)
            print_clients(arguments, served, running.pid)
    if arguments.data:
        print_quality(arguments.data, arguments.model, places)
    if arguments.url:
        from embedding_in_backends import print_backends

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
    parser.add_argument(
        "--providers", nargs="+", choices=PROVIDERS[:3], help="only these, by one client"
    )
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
    """Return what each provider is opened from."""
    return {
        "hashing": "384",
        "static": str(static_model(arguments)),
        "onnx": str(arguments.models_dir / arguments.model),
    }


def static_model(arguments: argparse.Namespace) -> Path:
    """Return the folder of a static model, which is imported where there is none."""
    for name in list_model_names(arguments.models_dir):
        folder: Path = arguments.models_dir / name
        if read_model_folder(folder).manifest.provider == "static":
            return folder
    began = time.monotonic()
    with ProgressBar() as progress:
        made = import_static(arguments.model, arguments.models_dir, progress=progress)
    print(f"importing {arguments.model} as static took {time.monotonic() - began:.0f} s")
    return made.folder.path


def model_files(place: str) -> list[Path]:
    return [file for file in Path(place).glob("*") if file.stat().st_size]


def map_file(file: Path) -> mmap.mmap:
    """Map a file and touch each of its pages."""
    with file.open("rb") as stream:
        mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    for page in range(0, len(mapping), mmap.PAGESIZE):
        _ = mapping[page]
    return mapping


def print_single(arguments: argparse.Namespace, places: dict[str, str]) -> None:
    """Print what one process pays."""
    measured = {
        provider: finish(start(arguments, provider, place, "--texts", str(arguments.texts)))
        for provider, place in tqdm(places.items(), desc="one process", leave=False, disable=None)
    }
    reference = None
    if arguments.reference:
        provider, place = "sentence-transformers", arguments.reference[1]
        more = ("--texts", str(arguments.texts))
        measured[provider] = finish(start(arguments, provider, place, *more))
        reference = np.array(measured[provider]["vectors"])
    print("\none process, one thread, a text of 13 tokens; ready counts from the interpreter on")
    print(
        f"{'':22}{'ready s':>9}{'private MB':>12}{'us, median':>12}"
        + (f"{'cosine to reference':>21}" if arguments.reference else "")
    )
    for provider, found in measured.items():
        cosine = ""
        if reference is not None and found["dimension"] == reference.shape[1]:
            cosine = f"{(np.array(found['vectors']) * reference).sum(axis=1).mean():>21.4f}"
        print(
            f"{provider:22}{found['ready']:>9.2f}{found['megabytes']:>12.0f}"
            f"{found['microseconds']:>12.1f}{cosine}"
        )


def print_clients(arguments: argparse.Namespace, places: dict[str, str], pid: int) -> None:
    """Print what several processes get that embed at the same time.

    Args:
        arguments: as parsed.
        places: what each provider is opened from.
        pid: of the embedder.
    """
    print(f"\nclients at the same time, {SECONDS:.0f} s each; memory is private, of all together")
    print(f"{'':22}{'clients':>9}{'us, median':>12}{'us, p99':>12}{'texts/s':>10}{'MB':>8}")
    for provider in ("static", "onnx", "service"):
        label = "static" if provider == "static" else f"{provider}, {arguments.model}"
        for count in CLIENTS:
            found = run_together(arguments, provider, places[provider], count)
            times = np.concatenate([each["times"] for each in found])
            rate = sum(len(each["times"]) / each["seconds"] for each in found)
            megabytes = sum(each["megabytes"] for each in found)
            if provider == "service":
                megabytes += private_megabytes(pid)
            print(
                f"{label:22}{count:>9}{np.median(times):>12.1f}{np.quantile(times, 0.99):>12.1f}"
                f"{rate:>10.0f}{megabytes:>8.0f}"
            )
            beside = f"median {np.median(times):,.0f} us, {megabytes:.0f} MB together"
            what = f"embedding, {provider}, {count} client{'s' if count > 1 else ''}"
            note(Figure(what, rate, "texts/s", beside=beside))
            label = ""
    print(
        "static and onnx: each client has the model; service: they share one embedder of "
        f"{arguments.threads} threads, whose memory is counted"
    )


def run_together(arguments: argparse.Namespace, provider: str, place: str, count: int) -> list[Any]:
    """Let processes begin at the same time, once all have their model."""
    processes = [start(arguments, provider, place, "--seconds", str(SECONDS)) for _ in range(count)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [finish(process) for process in processes]


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
        stdin=subprocess.PIPE,
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


if __name__ == "__main__":
    main()
