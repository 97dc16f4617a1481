"""The default model, where it was imported: TINY_DANCER_MODELS_DIR or .dev/models."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tiny_dancer.embedding.importing.agreement import PROBES
from tiny_dancer.embedding.model_folder import read_model_folder
from tiny_dancer.embedding.provider import open_provider
from tiny_dancer.errors import InvalidArgumentError


@pytest.fixture(scope="module")
def provider(default_model):
    return open_provider(default_model)


def test_its_folder_is_whole(default_model):
    manifest = read_model_folder(default_model, verify="sha256").manifest
    assert (manifest.dimension, manifest.max_tokens, manifest.pooling) == (384, 256, "mean")
    assert manifest.licence == "apache-2.0"


def test_meaning_decides_nearness(provider):
    reset, account, login, cooking = provider.embed_batch(
        [
            "I forgot my password and need to reset it",
            "account help",
            "cannot sign in to the website",
            "how long to roast a chicken",
        ]
    )
    assert reset @ account > reset @ cooking + 0.2
    assert reset @ login > reset @ cooking + 0.2


def test_code_is_nearer_to_code(provider):
    function, code, poetry = provider.embed_batch(
        ["Write a Python function for prime numbers", "Python programming", "love poetry"]
    )
    assert function @ code > function @ poetry + 0.2


def test_batch_equals_single_exactly(provider):
    singles = [provider.embed(text) for text in PROBES]
    assert np.array_equal(provider.embed_batch(PROBES), singles)


def test_a_long_text_keeps_its_beginning_and_its_end(provider):
    roast = "Rub the chicken with butter and roast it until the skin is golden. " * 40
    lease = "The tenant shall return the flat in good repair when the lease ends. " * 40
    cooking, renting, football = provider.embed_batch(
        ["roasting a chicken", "a tenancy agreement", "a football match"]
    )
    for text in (roast + lease, lease + roast):
        vector = provider.embed(text)
        assert vector @ cooking > vector @ football + 0.1
        assert vector @ renting > vector @ football + 0.1


@pytest.mark.parametrize("text", ["", "  \n", "\u0000", "\u200d\u200b"])
def test_nothing_to_embed(provider, text):
    with pytest.raises(InvalidArgumentError, match="text to embed"):
        provider.embed(text)


def test_odd_texts_have_vectors(provider):
    for text in ("?", "日本語のテキスト", "🙂", "x" * 5000, "naïve café", "a\u0000b"):
        assert np.linalg.norm(provider.embed(text)) == pytest.approx(1, abs=1e-5)


def test_a_long_text_leaves_no_memory_behind(default_model):
    code = f"""
from pathlib import Path
from tiny_dancer.embedding.provider import open_provider

def private_kilobytes():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))

provider = open_provider(Path({str(default_model)!r}))
provider.embed("How do I reset my password?")
before = private_kilobytes()
for _ in range(3):
    provider.embed("order one more of these " * 200)
print(private_kilobytes() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"},
    )
    assert int(done.stdout) < 3000
