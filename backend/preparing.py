"""Results that a worker makes: like a future, but made anew after a failure has been told.

So a capture folder that comes back, or memory that is free again, needs no restart.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import Generic, TypeVar

from .errors import Cancelled, UserError

T = TypeVar("T")


class Prepared(Generic[T]):
    """A result in the making.

    Args:
        submit: runs a function on the worker.
        first: makes the result; not kept, so that it may hold what is large.
        again: makes it after a failure; ``first`` when None.
    """

    def __init__(
        self,
        submit: Callable[[Callable[[], T]], Future[T]],
        first: Callable[[], T],
        again: Callable[[], T] | None = None,
    ):
        self._submit, self._again = submit, again or first
        self._future = submit(first)

    def done(self) -> bool:
        """Is there a result, or a failure that nobody has been told?"""
        return self._future.done()

    def done_within(self, seconds: float) -> bool:
        """The same, after waiting for it at most so long."""
        try:
            self._future.exception(seconds)
        except NotYet:
            return False
        return True

    def exception(self) -> BaseException | None:
        """The failure, if it is one; waits for it."""
        return self._future.exception()

    def result(self) -> T:
        """The result; waits for it. Raises what its making raised, and then it is being made anew."""
        try:
            return self._future.result()
        except Cancelled:
            raise
        except Exception:
            self._future = self._submit(self._again)
            raise


def waited(prepared: Prepared[T] | None, progress: Callable[[float, str], None], text: str) -> T:
    """A result, waited for with progress. Raises UserError when nothing is being made, and what its making raised."""
    if prepared is None:
        raise UserError("no_capture", "No capture is open in the backend; import one first.")
    while not prepared.done_within(0.1):
        progress(0.0, text)
    return prepared.result()
