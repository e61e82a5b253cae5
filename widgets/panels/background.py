"""What the table says of the first crystals by itself: gap, validity, novelty."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from crystal_ldm.widgets.base import logger, sentence
from crystal_ldm.widgets.helpers import Helpers
from pymatgen.core import Structure

from crystal_ldm.evaluate import evaluate
from crystal_ldm.evaluate.band_gap import estimate_band_gaps
from crystal_ldm.evaluate.reference_set import Reference
from crystal_ldm.parallel.executor import Executor

FIRST = 200
"""Crystals that are evaluated without being asked for."""
QUIET = 1.5
"""Seconds without a new crystal before helpers start: what was pressed comes first."""
SHOWN = 2.0
"""Seconds between two updates of the table."""
LOT = 4

Facts = Callable[[Iterable[tuple["Structure", Mapping[str, Any]]]], Any]


class BackgroundEvaluation:
    """Evaluates a gallery's first crystals in a process that stands back behind all else.

    Only the newest one of a kernel works, so that after Run All the panel before it rests.

    Args:
        pending: returns those of the first `FIRST` crystals that nothing is known of.
        on_facts: called with crystals and their further columns.
        helpers: do the work.
        reference: returns the training crystals for novelty; None: novelty is left out.
        busy: whether crystals are being made, which goes first.

    Attributes:
        error: why it has ended early, one sentence; empty if it has not.
    """

    _newest: BackgroundEvaluation | None = None

    def __init__(
        self,
        pending: Callable[[], Sequence[Structure]],
        on_facts: Facts,
        helpers: Helpers,
        reference: Callable[[], Reference | None],
        busy: Callable[[], bool],
    ) -> None:
        self._pending, self._on_facts = pending, on_facts
        self._helpers, self._reference, self._busy = helpers, reference, busy
        self._seen: dict[int, Structure] = {}  # by id, which the structure kept here holds
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._last = 0.0
        self.error = ""
        BackgroundEvaluation._newest = self

    def wake(self) -> None:
        """Look for crystals that are not evaluated yet."""
        with self._lock:
            self._last = time.monotonic()
            if self._thread is None and self._todo():
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()

    def wait(self, timeout: float) -> bool:
        """Block until there is nothing to do; return whether that is so."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
        return self._thread is None

    def _todo(self) -> list[Structure]:
        return [s for s in self._pending() if id(s) not in self._seen]

    def _run(self) -> None:
        found: list[tuple[Structure, dict[str, Any]]] = []
        shown = time.monotonic()
        try:
            while self._rest() and (lot := self._todo()[:LOT]):
                reference = self._reference()
                with self._helpers.open() as pool:
                    facts = evaluate_lot(lot, reference, pool)
                self._seen |= {id(structure): structure for structure in lot}
                found += zip(lot, facts, strict=True)
                if time.monotonic() - shown > SHOWN:
                    self._on_facts(found)
                    found, shown = [], time.monotonic()
        except Exception as error:  # nobody has asked for this: no crystal is lost by its failure
            logger.debug("background evaluation failed", exc_info=True)
            self.error = sentence(error)
        if found:
            self._on_facts(found)
        with self._lock:
            self._thread = None
        if not self.error and self is BackgroundEvaluation._newest and self._todo():
            self.wake()  # some came between the last look and the end

    def _rest(self) -> bool:
        """Wait until nobody else works; return whether to go on at all."""
        while self is BackgroundEvaluation._newest:
            if not self._busy() and time.monotonic() - self._last > QUIET:
                return True
            time.sleep(0.1)
        return False


def evaluate_lot(
    crystals: Sequence[Structure], reference: Reference | None, executor: Executor
) -> list[dict[str, Any]]:
    """Return predicted gap, validity and, with a reference, novelty of some crystals."""
    crystals = list(crystals)
    facts: list[dict[str, Any]] = [{} for _ in crystals]
    # Separately: with a reference, validity would be found for all of its crystals, too.
    wanted: list[tuple[str, str, Reference | None]] = [("valid", "validity", None)]
    if reference is not None:
        wanted.append(("novel", "novelty", reference))
    for column, metric, compared in wanted:
        table = evaluate(crystals, compared, metrics=[metric], workers=executor).table
        for one, value in zip(facts, table[column], strict=True):
            one[column] = bool(value)
    gaps = estimate_band_gaps(crystals, "cgcnn", workers=executor).gap
    for one, gap in zip(facts, gaps, strict=True):
        one["band_gap"] = float(gap)
    return facts
