"""Classifiers to classify with."""

from __future__ import annotations

# Two classes that no model can confuse.
TWO_KINDS = """
SELECT word || ' ' || n, word FROM unnest(ARRAY['red', 'blue']) AS word, generate_series(1, 20) n
"""


def train_quickly(session):
    """Train the two classifiers that setup() would spend a minute on."""
    for name, is_multi_label in (("requests", False), ("capabilities", True)):
        session.execute(
            "SELECT * FROM ruvector_train_classifier(%s, %s, %s)", (TWO_KINDS, name, is_multi_label)
        )
