"""Run a function over chunks of work in several processes, with a text progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_SERIAL_BELOW = 200
"""Starting processes takes about three seconds; less work than this is done at once."""


def map_items(
    function: Callable[..., R],
    items: Sequence[T],
    *arguments: Any,
    workers: int | None = None,
    progress: bool = True,
    label: str = "",
) -> list[R]:
    """Return `[function(item, *arguments) for item in items]`, worked on in processes.

    Each process runs on one thread. If one of them is killed (out of memory, say), this process
    does the rest itself. The bar is written to standard output, where papermill keeps it readable.

    Args:
        function: importable from a module, since processes are started afresh.
        items: the work.
        arguments: further arguments, the same for all.
        workers: number of processes; None: one for each core.
        progress: whether to show a bar.
        label: what the bar says.
    """
    from tqdm import tqdm

    count = workers if workers is not None else (os.cpu_count() or 1)
    size = max(1, min(64, len(items) // (4 * max(1, count))))
    chunks = [items[i : i + size] for i in range(0, len(items), size)]
    results: list[R] = []
    bar = tqdm(
        total=len(items), desc=label, disable=not progress, file=sys.stdout, mininterval=1, ncols=80
    )
    with bar:
        if count > 1 and len(items) >= _SERIAL_BELOW:
            for part in _in_processes(function, chunks, arguments, count):
                results += part
                bar.update(len(part))
        for item in items[len(results) :]:
            results.append(function(item, *arguments))
            bar.update()
    return results


def _in_processes(
    function: Callable[..., R], chunks: list[Any], arguments: tuple[Any, ...], count: int
) -> Iterator[list[R]]:
    """Yield the results of the chunks in order, until the last or until a process dies."""
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import BrokenProcessPool

    with parallel_config(backend="loky", inner_max_num_threads=1):
        pool = Parallel(n_jobs=count, return_as="generator")
        try:
            yield from pool(delayed(run_chunk)(function, chunk, arguments) for chunk in chunks)
        except BrokenProcessPool:
            print("A worker process died; going on in this process.", flush=True)
        finally:
            # Idle workers would keep their memory for minutes, while a training starts.
            get_reusable_executor().shutdown(wait=True, kill_workers=True)


def run_chunk(function: Callable[..., R], chunk: Sequence[Any], arguments: tuple[Any, ...]) -> Any:
    """Apply `function` to each item of `chunk`."""
    return [function(item, *arguments) for item in chunk]
