"""Requests written for this project, from which the starting classifiers learn.

``requests.tsv`` holds one request per line with its kind, the capabilities that an agent needs
for it, and its split: rows marked ``held_out`` (a fifth of each kind) are for judging only.
"""

from tiny_dancer.starting_corpus.corpus import StartingRequest, capabilities, kinds, load

__all__ = ["StartingRequest", "capabilities", "kinds", "load"]
