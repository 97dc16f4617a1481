import os
import shutil
import tempfile
from pathlib import Path

import pytest
from small_bert import write_small_bert

from tiny_dancer.embedding.importing.importer import import_model
from tiny_dancer.embedding.provider import open_provider


@pytest.fixture(scope="session")
def small_bert(tmp_path_factory) -> Path:
    """A random BERT as sentence-transformers would have saved it."""
    return write_small_bert(tmp_path_factory.mktemp("source") / "small-bert")


@pytest.fixture(scope="session")
def small_models(small_bert, tmp_path_factory) -> Path:
    """A folder of models with the random BERT in both precisions."""
    models_dir = tmp_path_factory.mktemp("models")
    for precision in ("int8", "fp32"):
        import_model(str(small_bert), models_dir, name=f"small-{precision}", precision=precision)
    return models_dir


@pytest.fixture(params=["int8", "fp32"])
def small_provider(small_models, request):
    return open_provider(small_models / f"small-{request.param}")


@pytest.fixture
def socket_folder():
    """A folder with a short name: addresses of sockets are limited."""
    folder = Path(tempfile.mkdtemp(prefix="td"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def path(socket_folder):
    """Where an embedder may listen."""
    return socket_folder / "made-up.sock"


@pytest.fixture(scope="session")
def default_model() -> Path:
    """The folder of the imported default model; skips where there is none."""
    checkout = Path(__file__).parents[3]
    models_dir = Path(os.environ.get("TINY_DANCER_MODELS_DIR") or checkout / ".dev" / "models")
    folder = models_dir / "all-MiniLM-L6-v2"
    if not folder.is_dir():
        pytest.skip(f"the default model is not in {models_dir} (TINY_DANCER_MODELS_DIR)")
    return folder
