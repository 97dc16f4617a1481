"""``tiny-dancer evaluate`` on a file of requests whose right route is known."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tiny_dancer.cli import models_dir

if TYPE_CHECKING:
    from tiny_dancer.evaluation.route_accuracy import RouteJudgements
    from tiny_dancer.evaluation.route_comparison import RouteExamples
    from tiny_dancer.evaluation.route_file import LabelledRequests

MOST_CONFUSIONS = 5


def evaluate_routes(arguments: argparse.Namespace, requests: LabelledRequests, tqdm: Any) -> None:
    """Embed, match by several ways, and print how good they are.

    Args:
        arguments: of the command; checked.
        requests: of the file.
        tqdm: shows progress.
    """
    from tiny_dancer.evaluation.results_table import results_table
    from tiny_dancer.evaluation.route_comparison import (
        FITTED,
        LEGEND,
        compare_ways,
        comparison_table,
        deal,
        judged_figures,
    )

    given = requests.learned_and_judged()
    dealt = deal(
        requests.texts, requests.routes, given, seeds=arguments.seeds, parts=arguments.folds
    )
    examples = _embedded(arguments, requests, tqdm)
    with tqdm(dealt, desc="learning", unit="part", leave=False, disable=None) as bar:
        judgements = compare_ways(examples, bar, progress=bar.set_postfix_str)
    outside = requests.routes.count(None)
    how = (
        f"parts: {arguments.folds}"
        if given is None
        else f"{len(given[0])} to learn from, {len(given[1])} to be judged by"
    )
    print(
        f"{len(requests.texts)} requests, {len(examples.names)} routes, {outside} out of scope; "
        f"seeds: {arguments.seeds}, {how}\n"
    )
    ways = tqdm(judgements.items(), desc="judging", unit="way", leave=False, disable=None)
    table = comparison_table({name: judged_figures(judged) for name, judged in ways})
    print(results_table(table[0], table[1:]))
    print(f"\n{LEGEND}\n")
    _print_confusions(judgements[FITTED][0], examples.names)


def _embedded(
    arguments: argparse.Namespace, requests: LabelledRequests, tqdm: Any
) -> RouteExamples:
    import numpy as np

    from tiny_dancer.embedding.model_folder import find_model
    from tiny_dancer.embedding.provider import open_provider
    from tiny_dancer.evaluation.route_accuracy import NONE
    from tiny_dancer.evaluation.route_comparison import RouteExamples

    names = sorted({route for route in requests.routes if route is not None})
    number = {name: place for place, name in enumerate(names)}
    # A route is described by its name, as nothing else is known of it.
    described = [name.replace("_", " ") for name in names]
    provider = open_provider(find_model(models_dir.models_dir(arguments), arguments.model))
    distinct = list(dict.fromkeys([*requests.texts, *described]))
    counted = tqdm(distinct, desc="embedding", unit="text", leave=False, disable=None)
    vector = {text: provider.embed(text) for text in counted}
    return RouteExamples(
        requests.texts,
        np.array([vector[text] for text in requests.texts], np.float32),
        np.array([NONE if r is None else number[r] for r in requests.routes], np.intp),
        names,
        described,
        np.array([vector[text] for text in described], np.float32),
    )


def _print_confusions(judged: RouteJudgements, names: Any) -> None:
    from tiny_dancer.evaluation.results_table import results_table
    from tiny_dancer.evaluation.route_accuracy import NONE, worst_confusions

    rows = [
        ["(no route)" if wanted == NONE else names[wanted], names[guess], str(count)]
        for wanted, guess, count in worst_confusions(judged, MOST_CONFUSIONS)
    ]
    if rows:
        print("What the fitted routes confuse most, with the first seed:\n")
        print(results_table(["meant", "matched", "requests"], rows))
