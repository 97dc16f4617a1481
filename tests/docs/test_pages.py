"""Every SQL block of the README and of docs/ runs, and prints what the page shows."""

from pathlib import Path

import pytest
from documented_database import printed_blocks
from sql_blocks import difference, sql_blocks

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_blocks_of_the_page_print_what_it_shows(page):
    problems = []
    for block, printed in printed_blocks(page.read_text(encoding="utf-8")):
        problems += problem(page, block, printed)
    assert not problems, "\n\n".join(problems)


def problem(page, block, printed):
    place = f"{page.name}:{block.line}"
    if block.output is not None:
        differs = difference(block.output, printed)
        return [f"{place} does not print what it shows\n{differs}"] if differs else []
    return [f"{place} fails\n{printed}"] if "ERROR:" in printed else []


def test_pages_have_blocks_to_run():
    counts = {page.name: len(sql_blocks(page.read_text(encoding="utf-8"))) for page in PAGES}
    assert counts["README.md"] >= 5
    assert sum(counts.values()) > counts["README.md"]


def test_a_wrong_output_is_noticed():
    shown = " agent_name | cost\n---+---\n swift | 0.0001\n"
    assert difference(shown, " agent_name |  cost\n------+------\n swift  | 0.0001\n") is None
    assert difference(shown, shown.replace("swift", "coder"))
    assert difference(shown, shown.replace("0.0001", "0.0002"))
    assert difference("expected quality 0.91", "expected quality 0.92") is None
    assert difference("expected quality 0.91", "expected quality 0.99")
    assert difference("(3 rows)", "(4 rows)")
    assert difference("a\nb", "a")


def test_a_block_without_output_is_told_from_one_with_it():
    page = "x\n\n```sql\nSELECT 1;\n```\n\n```text\n 1\n```\n\n```sql\nSELECT 2;\n```\n\ntext\n"
    first, second = sql_blocks(page)
    assert (first.sql, first.output, first.line) == ("SELECT 1;\n", " 1\n", 3)
    assert (second.sql, second.output) == ("SELECT 2;\n", None)
