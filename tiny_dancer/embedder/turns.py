"""Who is next: one text of each request in turn, so that a long request holds nobody up.

A request of one text waits for as many texts as there are other requests, and not for all that
they hold. Among themselves the texts of a request keep their order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

Text = TypeVar("Text")


class Turns(Generic[Text]):
    """Texts that wait. Its length is how many."""

    def __init__(self) -> None:
        self._requests: deque[deque[Text]] = deque()
        self._count = 0

    def __len__(self) -> int:
        """How many texts wait."""
        return self._count

    def add(self, texts: Sequence[Text]) -> deque[Text]:
        """Let a request wait, after those that wait already.

        Args:
            texts: of it, at least one.

        Returns:
            What to hand to `withdraw`; it shrinks as its texts have their turn.
        """
        request = deque(texts)
        self._requests.append(request)
        self._count += len(request)
        return request

    def next(self) -> Text:
        """Return the text whose turn it is, and leave it waiting.

        Raises:
            IndexError: none waits.
        """
        return self._requests[0][0]

    def take(self) -> Text:
        """Return the text whose turn it is; the next one of its request waits for all others.

        Raises:
            IndexError: none waits.
        """
        request = self._requests.popleft()
        text = request.popleft()
        self._count -= 1
        if request:
            self._requests.append(request)
        return text

    def withdraw(self, request: deque[Text]) -> None:
        """Let no text of a request wait any longer."""
        kept = (other for other in self._requests if other is not request)
        self._requests = deque(kept)
        self._count -= len(request)
        request.clear()
