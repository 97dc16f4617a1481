"""Puts this version of the library into a backend, in the place of another one if there is any.

A session that was connected before an update still has the package of the version before under
the name ``tiny_dancer``. So the body of ``tiny_dancer.load_library()`` runs this file by its path,
as a module of its own that imports nothing of the package, and that package gives way here. If this
version can not be loaded, all is as it was before.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

PACKAGE = "tiny_dancer"
# Compiled code that is imported can not be replaced while the process lives.
COMPILED_PACKAGES = ("numpy", "onnxruntime", "tokenizers", "hnswlib")


def load(plpy: Any, version: str, bodies: dict[str, Any]) -> bool:
    """Start the library that this file belongs to, and hand its entry points to the bodies.

    Args:
        plpy: the module of PL/Python.
        version: of the extension in this database.
        bodies: what all PL/Python bodies of the session share (``GD``); those of tiny_dancer find
            their entry points there, under a key with their version.

    Raises:
        plpy.Error: this session can not change over to this version, and has to reconnect (55000).
    """
    with only_version(own_folder()) as gives_way:
        boot = importlib.import_module(f"{PACKAGE}.pg.boot")
        started = boot.start(plpy, version, bodies)
    for key in [key for key in bodies if key.startswith(f"{PACKAGE}/")]:
        del bodies[key]
    bodies[f"{PACKAGE}/{version}"] = started
    if gives_way:
        forget(gives_way)
    return True


def own_folder() -> str:
    """Return the folder of this version, where its package and those it needs lie."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@contextmanager
def only_version(folder: str) -> Iterator[dict[str, ModuleType]]:
    """Import the package from one version's folder; an error brings back what was there before.

    Yields:
        the modules that give way, by name.
    """
    path, modules = list(sys.path), package_modules()
    versions = os.path.dirname(folder)
    remove(modules)
    sys.path[:] = [folder, *(entry for entry in path if os.path.dirname(entry) != versions)]
    # A folder that was not there when the session looked last may be there now.
    sys.path_importer_cache.pop(folder, None)
    try:
        yield modules
    except BaseException:
        remove(package_modules())
        sys.modules.update(modules)
        sys.path[:] = path
        raise


def package_modules() -> dict[str, ModuleType]:
    """Return the modules of the package that are imported."""
    modules = sys.modules.items()
    return {name: module for name, module in modules if name.partition(".")[0] == PACKAGE}


def remove(modules: dict[str, ModuleType]) -> None:
    """Take modules out of what is imported."""
    for name in modules:
        del sys.modules[name]


def forget(modules: dict[str, ModuleType]) -> None:
    """Free the memory of what gave way: its modules, its open model, its copy of the registry."""
    modules.clear()
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def foreign_packages(folder: str) -> list[str]:
    """Return the compiled packages imported that are of another release than the folder has.

    Args:
        folder: of a version of the library.
    """
    loaded = {name: sys.modules[name].__file__ for name in COMPILED_PACKAGES if name in sys.modules}
    folders = {
        name: os.path.dirname(os.path.dirname(file)) for name, file in loaded.items() if file
    }
    return [
        name
        for name, other in folders.items()
        if os.path.dirname(other) == os.path.dirname(folder)
        and releases(name, folder) not in ([], releases(name, other))
    ]


def releases(package: str, folder: str) -> list[str]:
    """Return the releases of a package that a folder says it has: one, if any."""
    suffix = ".dist-info"
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [name for name in names if name.startswith(f"{package}-") and name.endswith(suffix)]
