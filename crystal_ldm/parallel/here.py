"""The same work in this process: for a few items, and where no process may be started."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from crystal_ldm.errors import describe_error
from crystal_ldm.parallel.executor import Executor, Outcome, Progress


class HereExecutor(Executor):
    """Runs items one after the other in this thread; limits of time and memory do not hold."""

    def imap(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        timeout: float | None = None,
        chunk: int = 8,
        progress: Progress | None = None,
    ) -> Iterator[Outcome]:
        """Yield outcomes in order (see `Executor.imap`)."""
        for index, item in enumerate(items):
            try:
                outcome = Outcome(index, function(item))
            except Exception as error:
                outcome = Outcome(index, error=describe_error(error))
            if progress is not None:
                progress(1)
            yield outcome
