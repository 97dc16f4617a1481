"""The mark of a copy that a backend keeps, and who was found entitled to the copy."""

from __future__ import annotations

from collections.abc import Callable


class CopyMark:
    """Says whether a caller who brings a number may have the copy that is kept.

    The caller may be anybody with any number, for what takes one can be called by hand. A role gets
    the copy by its mark only after a query of our own found, in this session and at this mark, that
    it may see all that the copy was made of.

    Args:
        current_role: returns the oid of CURRENT_USER.
    """

    def __init__(self, current_role: Callable[[], int]) -> None:
        self._current_role = current_role
        self._mark: int | None = None
        self._entitled: set[int] = set()

    def forget(self) -> None:
        """Nothing is kept, or it is not known of what."""
        self._mark = None
        self._entitled.clear()

    def keep(self, mark: int | None) -> None:
        """A query of our own, as the present role, read this mark of what is kept now.

        Args:
            mark: NULL where row-level security hides something from the role.
        """
        if mark != self._mark:
            self.forget()
            self._mark = mark
        if mark is not None:
            self._entitled.add(self._current_role())

    def is_of(self, mark: int | None) -> bool:
        """Whether a mark that a query of our own read is that of what is kept."""
        return mark is not None and mark == self._mark

    def opens_to_caller(self, mark: int | None) -> bool:
        """Whether whoever calls may have what is kept by this mark."""
        return self.is_of(mark) and self._current_role() in self._entitled
