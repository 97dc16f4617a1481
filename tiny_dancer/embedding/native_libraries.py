"""Native libraries inside a server process: their threads and memory must do no harm."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

# One backend serves one query: more threads would only take cores from other backends.
_SINGLE_THREADED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


@contextmanager
def quiet_native_load() -> Iterator[None]:
    """Import and load native libraries single-threaded and with signals blocked.

    A thread started in here inherits the blocked mask, so it can never take a signal that
    is meant for the server's own thread (PostgreSQL's handlers must run on that one);
    onnxruntime starts one at import, whatever its options. The variables are read when a
    library is imported: set them no later than here.
    """
    os.environ.update(_SINGLE_THREADED)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def release_free_memory() -> None:
    """Give memory that native code has freed back to the operating system.

    glibc keeps what it may need again: after a long text 10 MB, for the life of the
    connection. Giving it back takes 1.4 ms then. Other C libraries do it by themselves.
    """
    import ctypes

    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
