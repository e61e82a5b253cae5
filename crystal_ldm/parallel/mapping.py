"""A function on every item of a list, in order, with a text progress bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from crystal_ldm.parallel.executor import AnyWorkers, Outcome, Workers, as_workers, open_executor
from crystal_ldm.parallel.progress import Reporter

_FEW = 200
"""Starting processes takes about a second; less work than this is done at once."""


def map_items(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    *,
    workers: AnyWorkers = None,
    timeout: float,
    progress: bool = True,
    label: str = "",
    on_outcome: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Return the outcome of each item; short lists are worked on in this process.

    An item whose process dies is tried once more in another one: what is killed from outside (out
    of memory, say) costs nothing, and what kills its process by itself costs only its own item.

    Args:
        function: importable by name, or a `functools.partial` of such a function.
        items: the work.
        workers: see `open_executor`.
        timeout: longest time for one item, s.
        progress: whether to show a bar.
        label: what the bar says.
        on_outcome: called with each outcome as it comes; what it raises ends the work.
    """
    settings = as_workers(workers, Workers(timeout=timeout, memory_gb=16))
    if len(items) < _FEW or settings.count == 1:
        workers = Workers(here=True)
    elif not isinstance(workers, Workers):
        workers = settings
    chunk = 1 + min(63, len(items) // 1000)
    with open_executor(workers) as executor, Reporter(progress).stage(label, len(items)) as advance:
        outcomes = []
        for outcome in executor.imap(
            function, items, timeout=timeout, chunk=chunk, progress=advance
        ):
            outcomes.append(outcome)
            if on_outcome is not None:
                on_outcome(outcome)
        outcomes.sort(key=lambda outcome: outcome.index)
        died = [outcome.index for outcome in outcomes if str(outcome.error).startswith("Crash")]
        again = executor.map(function, [items[i] for i in died], timeout=timeout, chunk=1)
        for i, outcome in zip(died, again, strict=True):
            outcomes[i] = Outcome(i, outcome.value, outcome.error)
    return outcomes
