"""A model as it was fetched: a folder in the layout of sentence-transformers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---", re.DOTALL)
_LICENCE_LINE = re.compile(r"^license:\s*['\"]?([^\s'\"]+)", re.MULTILINE)
_LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt")


@dataclass(frozen=True)
class ModelSource:
    """Where a model lies and where it came from.

    Attributes:
        path: the folder with ``config.json``, ``modules.json`` and the weights.
        origin: where it came from, for the manifest and for people.
    """

    path: Path
    origin: str

    @property
    def licence(self) -> str:
        """The licence of the weights as the model card states it, or ``unknown``."""
        card = self.path / "README.md"
        if not card.is_file():
            return "unknown"
        front = _FRONT_MATTER.match(card.read_text(encoding="utf-8").replace("\r\n", "\n"))
        line = _LICENCE_LINE.search(front.group(1)) if front else None
        return line.group(1) if line else "unknown"

    def licence_text(self) -> str:
        """What is known of the licence, with the source's own licence file if it has one."""
        lines = [
            f"Weights and tokenizer: {self.origin}",
            f"Licence as stated by the model card: {self.licence}",
            "Converted by tiny_dancer: another file format, and weights in fewer bits where",
            "model.json says so.",
        ]
        for name in _LICENCE_FILES:
            if (self.path / name).is_file():
                text = (self.path / name).read_text(encoding="utf-8")
                return "\n".join([*lines, "", f"{name} of the source:", "", text])
        return "\n".join([*lines, ""])
