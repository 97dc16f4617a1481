"""The demo's report: plain text, 100 columns wide."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Iterable, Iterator
from typing import TextIO

from tiny_dancer.cli.demo_comparison import (
    Choice,
    Comparison,
    Share,
    compare,
    most_constrained,
    shares,
    total,
)
from tiny_dancer.cli.demo_reasons import short_reason
from tiny_dancer.cli.demo_routing import RoutedRequest, Run, Standing, statement

WIDTH = 100
_BAR = 30


class Style:
    """Bold and colour where a terminal shows them, nothing elsewhere."""

    def __init__(self, *, in_colour: bool) -> None:
        self._in_colour = in_colour

    def heading(self, text: str) -> str:
        """Return a heading."""
        return self._code("1", text)

    def agent(self, text: str) -> str:
        """Return the name of a chosen agent."""
        return self._code("36", text)

    def refusal(self, text: str) -> str:
        """Return what could not be done."""
        return self._code("33", text)

    def faint(self, text: str) -> str:
        """Return what matters less."""
        return self._code("2", text)

    def _code(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._in_colour else text


def wants_colour(stream: TextIO) -> bool:
    """Say whether the stream is a terminal whose user has not set NO_COLOR."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def report(run: Run, *, in_colour: bool) -> Iterator[str]:
    """Yield the lines of the report.

    Args:
        run: what was routed.
        in_colour: whether to use the colours of a terminal.
    """
    style = Style(in_colour=in_colour)
    yield from _decisions(run, style)
    yield from _explanation(run, style)
    yield from _bars(run, style)
    yield from _costs(run, style)
    yield from _next_steps(run, style)


def _decisions(run: Run, style: Style) -> Iterator[str]:
    yield style.heading(
        f"{'Request':33}  {'Agent':15}  {'Why':22}  {'Cost in $':9} {'Latency':>7}  Qual."
    )
    for routed in run.routed:
        yield from _decision(routed, style)
    count = len(run.routed)
    yield style.faint(
        f"{count} requests in {run.seconds:.2f} s, {run.seconds / count * 1000:.1f} ms each, "
        "embedding included. Cost, latency and quality are estimates."
    )


def _decision(routed: RoutedRequest, style: Style) -> Iterator[str]:
    text = f"{shortened(routed.text, 33):33}"
    if routed.decision is None:
        yield f"{text}  {style.refusal('no agent fits (TD001)')}"
        yield style.refusal(f"  {shortened(routed.refusal or '', WIDTH - 2)}")
        return
    decision = routed.decision
    yield (
        f"{text}  {style.agent(f'{shortened(decision.agent_name, 15):15}')}  "
        f"{shortened(short_reason(routed), 22):22}  {aligned_dollars(decision.estimated_cost)} "
        f"{duration(decision.estimated_latency_ms):>7}   {decision.expected_quality:.2f}"
    )


def _explanation(run: Run, style: Style) -> Iterator[str]:
    chosen = most_constrained(run.routed)
    if chosen is None or chosen.decision is None:
        return
    yield ""
    yield style.heading("One decision in full")
    yield from wrapped(f"SELECT * FROM {statement('ruvector_explain_route', chosen.call)}", "  ")
    yield style.faint(
        f" # {'Agent':15}  Score  Simil  Own q  Exp q {'Cost in $':9} {'Latency':>7}  Removed by"
    )
    for standing in chosen.standings:
        yield _standing(standing, style)
    yield from wrapped(chosen.decision.reasoning)


def _standing(standing: Standing, style: Style) -> str:
    rank = "" if standing.rank is None else str(standing.rank)
    name = f"{shortened(standing.agent_name, 15):15}"
    line = (
        f"{rank:>2} {style.agent(name) if standing.rank == 1 else name}  "
        f"{_number(standing.score):>5}  {_number(standing.similarity):>5}  "
        f"{_number(standing.quality_score):>5}  {standing.expected_quality:>5.2f} "
        f"{aligned_dollars(standing.estimated_cost)} "
        f"{duration(standing.estimated_latency_ms):>7}  {', '.join(standing.removed_by)}"
    )
    return line.rstrip()


def _bars(run: Run, style: Style) -> Iterator[str]:
    got = shares(run.routed)
    if not got:
        return
    yield ""
    yield style.heading(f"{'Who got how many':{19 + _BAR + 4}}  {'Cost in $':>8}")
    most = max(share.requests for share in got)
    for share in got:
        yield _bar(share, most, style)


def _bar(share: Share, most: int, style: Style) -> str:
    bar = "#" * max(1, round(_BAR * share.requests / most))
    return (
        f"{style.agent(f'{shortened(share.agent_name, 15):15}')} {share.requests:>3} "
        f"{bar:{_BAR + 2}}  {aligned_dollars(share.cost)}"
    ).rstrip()


def _costs(run: Run, style: Style) -> Iterator[str]:
    comparison = compare(run)
    if comparison is None:
        return
    count = len(comparison.compared)
    yield ""
    yield style.heading(
        f"What it costs: the {count} requests that {comparison.best.name} may take, too"
    )
    yield style.faint(f"{'':30}  {'Cost':>8}  {'Per 1,000':>9}  Quality  Limits broken")
    for label, choice in _choices(comparison):
        yield _choice(label, choice, count)
    yield from wrapped(_saving(comparison))
    yield from _ruled_out(run, comparison)
    yield from wrapped(
        f"Costs are estimates: four characters to a token, {run.output_tokens} tokens of output. "
        "Qualities are those registered, shaded by how near an agent's capabilities are to the "
        "request; they stay priors until outcomes are recorded. The fleet and its prices are made "
        "up (examples/fleet.json)."
    )


def _choices(comparison: Comparison) -> Iterator[tuple[str, Choice]]:
    yield "routed", comparison.routed
    yield f"always {comparison.best.name} (best)", comparison.best
    if comparison.cheapest.name != comparison.best.name:
        yield f"always {comparison.cheapest.name} (cheapest)", comparison.cheapest


def _choice(label: str, choice: Choice, count: int) -> str:
    each = None if choice.cost is None else choice.cost / count
    return (
        f"{shortened(label, 30):30}  {dollars(choice.cost):>8}  "
        f"{dollars(None if each is None else each * 1000):>9}  {choice.quality:>7.2f}  "
        f"{choice.broken} of {count}"
    )


def _saving(comparison: Comparison) -> str:
    routed, best = comparison.routed, comparison.best
    if routed.cost is None or not best.cost:
        return "Some prices are unknown, so the costs can not be compared."
    change = routed.cost / best.cost - 1.0
    compared = "less" if change < 0.0 else "more"
    return (
        f"Routing is estimated to cost {abs(change):.0%} {compared} than always {best.name}, "
        f"at a mean expected quality of {routed.quality:.2f} against {best.quality:.2f}."
    )


def _ruled_out(run: Run, comparison: Comparison) -> Iterator[str]:
    if not comparison.ruled_out:
        return
    people = {agent.name for agent in run.agents if agent.agent_type == "human"}
    got = shares(comparison.ruled_out)
    text = (
        f"The other {len(comparison.ruled_out)} rule {comparison.best.name} out by what they "
        f"require; they cost {dollars(total(share.cost for share in got))}"
    )
    paid = [share for share in got if share.agent_name in people]
    if paid:
        names = " and ".join(sorted(share.agent_name for share in paid))
        text += f", of which {dollars(total(share.cost for share in paid))} is for {names}"
    yield from wrapped(f"{text}.")


def _next_steps(run: Run, style: Style) -> Iterator[str]:
    yield ""
    yield style.heading("Try it yourself: make psql, and there")
    yield f"  \\c {run.database}"
    yield "  SELECT * FROM ruvector_list_agents();"
    yield "  SELECT agent_name, estimated_cost, reasoning FROM ruvector_route("
    yield "      'Translate this letter into French', optimize_for := 'cost', quality_floor := .9);"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def dollars(amount: float | None) -> str:
    """Return an amount with cents, or below a dollar with two digits that matter."""
    if amount is None:
        return "unknown"
    decimals = 2 if amount >= 1.0 or amount <= 0.0 else max(2, 1 - math.floor(math.log10(amount)))
    return f"${amount:,.{decimals}f}"


def aligned_dollars(amount: float | None) -> str:
    """Return an amount in nine columns, whose decimal points stand below each other."""
    if amount is None:
        return f"{'unknown':>9}"
    decimals = 2 if amount >= 1.0 or amount <= 0.0 else 5
    return f"{amount:.{decimals}f}{' ' * (5 - decimals)}".rjust(9)


def duration(milliseconds: float | None) -> str:
    """Return a duration in the largest unit that it has one of, with two digits or more."""
    if milliseconds is None:
        return "unknown"
    for unit, length in (("h", 3_600_000.0), ("min", 60_000.0), ("s", 1000.0)):
        if milliseconds >= length:
            count = milliseconds / length
            return f"{count:.{0 if count >= 10.0 or count == round(count) else 1}f} {unit}"
    return f"{milliseconds:.0f} ms"


def shortened(text: str, width: int) -> str:
    """Return the text if it fits, else its beginning and three dots."""
    flat = " ".join(text.split())
    return flat if len(flat) <= width else f"{flat[: width - 3].rstrip()}..."


def wrapped(text: str, indent: str = "") -> Iterable[str]:
    """Return the text in lines that fit."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=2 * indent, break_on_hyphens=False
    )
