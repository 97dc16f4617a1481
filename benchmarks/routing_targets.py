"""What issue 4 of the project asks of routing quality, and whether it is reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A row of the table of targets.

    Attributes:
        work: name of the work.
        reference: the router that the lead is measured against; None for the figure itself.
        at_least, aim: of the figure, or of the lead.
    """

    work: str
    reference: str | None
    at_least: float
    aim: float

    def verdict(self, reached: float) -> str:
        """What to say of a figure."""
        if reached >= self.aim:
            return "aim"
        return "ok" if reached >= self.at_least else "MISSED"


# CLINC150 and Banking77 are judged with the semantic routes, the cold start by first_outcomes.py.
TARGETS = (
    Target("MMLU, 1,500 labels", None, 0.638, 0.66),
    Target("MMLU, 80 % as labels", None, 0.695, 0.72),
    Target("MMLU, unseen subjects", None, 0.59, 0.62),
    Target("GSM8K, 5-fold", "prompt length", 0.02, 0.02),
    Target("GSM8K, 5-fold", "ridge + lexical", -0.01, 0.02),
    Target("nine models, 5-fold", "ridge", 0.5, 2.0),
)
CALIBRATION_AT_MOST, CALIBRATION_AIM = 0.03, 0.01
