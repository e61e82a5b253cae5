"""Progress bars that stay readable in an executed notebook."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from crystal_ldm.parallel.executor import Progress


class Reporter:
    """Shows one bar for each stage of an evaluation, or nothing.

    Args:
        show: whether to show bars on standard output.
    """

    def __init__(self, show: bool) -> None:
        self.show = show

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[Progress | None]:
        """Give the function that a stage calls with the number of items just finished."""
        if not self.show:
            yield None
            return
        from tqdm import tqdm

        # Plain text on stdout: widget bars are blank in an exported notebook.
        with tqdm(total=total, desc=title, file=sys.stdout, mininterval=1.0) as bar:

            def advance(count: int) -> None:
                bar.update(count)

            yield advance
