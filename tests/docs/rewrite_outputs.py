"""Write into the pages what their SQL blocks print now, where they show an output.

    TINY_DANCER_TEST_URL=$(make -s url) TINY_DANCER_PG_BINDIR=... \\
        .dev/venv/bin/python tests/docs/rewrite_outputs.py docs/routing.md

Read the difference before it is committed: the tests only say that pages and server agree.
"""

from __future__ import annotations

import sys
from pathlib import Path

from documented_database import printed_blocks


def rewritten(page: str) -> str:
    parts, position = [], 0
    for block, printed in printed_blocks(page):
        parts.append(f"{page[position : block.start]}```sql\n{block.sql}```\n")
        if block.output is not None:
            output = "\n".join(line.rstrip() for line in printed.strip("\n").splitlines())
            parts.append(f"\n```text\n{output}\n```\n")
        position = block.end
    return "".join([*parts, page[position:]])


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
