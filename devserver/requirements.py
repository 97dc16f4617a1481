"""Print what pyproject.toml requires: the one place where ranges are written.

``requirements.py library [EXTRAS]`` prints the requirements of the library that the server loads,
one a line, with those of some extras (their names, with commas between). ``requirements.py all``
prints everything about dependencies, to tell when it changed.
"""

import json
import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


# What a backend may load: the flags of the plan. The other extras are for processes outside.
FOR_BACKENDS = (
    "routing",
    "routing-fastgrnn",
    "routing-optimizer",
    "routing-semantic",
    "routing-all",
)


def library(project: dict, extras: str) -> str:
    """The requirements of a backend: the package's own, its embedding model's, and the extras'."""
    found = [*project["dependencies"], *project["optional-dependencies"]["onnx"]]
    for name in filter(None, extras.replace(" ", "").split(",")):
        if name not in FOR_BACKENDS:
            raise SystemExit(f"EXTRAS names {name!r}; use one of: {', '.join(FOR_BACKENDS)}")
        found += _of_extra(project["optional-dependencies"], name)
    return "\n".join(dict.fromkeys(found))


def _of_extra(known: dict, name: str) -> list[str]:
    """An extra's requirements; one on the project itself names other extras."""
    found = []
    for requirement in known[name]:
        others = re.fullmatch(r"tiny-dancer\[(.*)\]", requirement)
        if others is None:
            found.append(requirement)
        else:
            found += [r for other in others[1].split(",") for r in _of_extra(known, other)]
    return found


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
        print(library(pyproject["project"], sys.argv[2] if len(sys.argv) > 2 else ""))
    elif part == "all":
        print(everything(pyproject))
    else:
        raise SystemExit(f"unknown part: {part}")


if __name__ == "__main__":
    main()
