"""Print what pyproject.toml requires: the one place where ranges are written.

``requirements.py library`` prints the requirements of the library that the server loads, one a
line; ``requirements.py all`` prints everything about dependencies, to tell when it changed.
"""

import json
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def library(project: dict) -> str:
    """The requirements of a backend: the package's own and those of its embedding model."""
    return "\n".join([*project["dependencies"], *project["optional-dependencies"]["onnx"]])


def everything(pyproject: dict) -> str:
    """Build system, dependencies and entry points, in a form that does not depend on layout."""
    project = pyproject["project"]
    kept = ("name", "requires-python", "dependencies", "optional-dependencies", "scripts")
    return json.dumps(
        [pyproject["build-system"], {key: project[key] for key in kept}], sort_keys=True
    )


def main() -> None:
    """Read pyproject.toml and print the part that was asked for."""
    pyproject = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    part = sys.argv[1]
    if part == "library":
        print(library(pyproject["project"]))
    elif part == "all":
        print(everything(pyproject))
    else:
        raise SystemExit(f"unknown part: {part}")


if __name__ == "__main__":
    main()
