"""What evaluates the crystals of a gallery, or relaxes them: asked for, and by itself."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from crystal_ldm.widgets.base import Panel, counted
from crystal_ldm.widgets.crystal_entry import CrystalEntry
from crystal_ldm.widgets.helpers import Helpers
from crystal_ldm.widgets.jobs import Job
from crystal_ldm.widgets.layout import row, show_if
from crystal_ldm.widgets.panels.gallery import Gallery
from pymatgen.core import Structure

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.errors import EvaluationError
from crystal_ldm.evaluate import evaluate
from crystal_ldm.evaluate.band_gap import estimate_band_gaps
from crystal_ldm.evaluate.reference_set import Reference
from crystal_ldm.evaluate.stability import compute_stability
from crystal_ldm.evaluate.stability.relaxation import shifts
from crystal_ldm.parallel.executor import Executor

FIRST = 200
"""Crystals that are evaluated without being asked for."""
QUIET = 1.5
"""Seconds without a new crystal before helpers start: what was pressed comes first."""
LOT = 10
"""Crystals between two updates of the table."""


class EvaluationBar(Panel):
    """Evaluates and relaxes crystals of a gallery: `EvaluationBar(gallery, helpers, …)`.

    The first crystals are evaluated unasked, in a process that stands back behind all else. Only
    the newest panel of a kernel does so, and after Run All the one before it rests.

    Args:
        gallery: has the crystals; their rows get further columns.
        helpers: do the work.
        reference: returns the training crystals for novelty; None: novelty is left out.
        on_made: called after each crystal with all that this press has relaxed so far, the newest
            last; the `parent` of each is the crystal that it was.
        busy: whether crystals are being made, which goes first.

    Attributes:
        job: what was asked for; `background`: what is done unasked.
    """

    _newest: EvaluationBar | None = None

    def __init__(
        self,
        gallery: Gallery,
        helpers: Helpers,
        reference: Callable[[], Reference | None],
        on_made: Callable[[list[CrystalEntry]], Any],
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__()
        self._gallery, self._helpers = gallery, helpers
        self._reference, self._on_made, self._busy = reference, on_made, busy
        self._last = 0.0
        self.job, self.background = Job(), Job()
        EvaluationBar._newest = self
        self.buttons = [
            self.button("Evaluate all", self.evaluate, css="cl-small cl-evaluate",
                   tip="Validity, uniqueness, novelty and a predicted band gap"),
            self.button("Relax", self.relax, css="cl-small cl-relax",
                   tip="Relax the chosen rows, or the selected one, with the CHGNet potential "
                   "and compare with its convex hull"),
        ]  # fmt: skip
        tip = "End after this crystal; relaxed ones are kept"
        self.halt = self.job.stop_button(css="cl-small", tip=tip)
        show_if(False, self.halt)
        self.widget = row(*self.buttons, self.halt, self.notice.widget, css="cl-evaluate-bar")
        why = "Crystals are being evaluated or relaxed."
        self.job.tell(self.notice, "Starting…", self.buttons, why)
        self.job.observe(lambda change: show_if(change.new == "running", self.halt), "state")
        again = lambda change: self._look() if change.new == "done" else None  # noqa: E731
        self.background.observe(again, "state")

    def evaluate(self) -> None:
        """Evaluate all crystals; their rows get further columns."""
        crystals = self._gallery.structures
        if crystals:
            self.job.start(lambda job: self._evaluate(job, crystals))

    def relax(self) -> None:
        """Relax the chosen crystals; each result is a further crystal, below the one it was."""
        one = self._gallery.current
        crystals = self._gallery.checked or ([] if one is None else [one])
        if crystals:
            self.job.start(lambda job: self._relax(job, crystals))

    def _evaluate(self, job: Job, crystals: Sequence[Structure]) -> None:
        job.message = f"Evaluating {counted(len(crystals), 'crystal')}…"
        with self._helpers.open() as pool:
            facts = evaluate_lot(crystals, self._reference(), pool, unique=True)
            self._gallery.update_crystals(zip(crystals, facts, strict=True))
            job.message = "Predicting band gaps…"
            gaps = predicted_gaps(crystals, pool)
        self._gallery.update_crystals(zip(crystals, gaps, strict=True))
        shares = {name: sum(one[name] for one in facts) / len(facts) for name in facts[0]}
        rates = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        job.message = f"Of {counted(len(crystals), 'crystal')}: {rates}."

    def _relax(self, job: Job, crystals: Sequence[CrystalEntry]) -> None:
        failed: list[str] = []
        made: list[CrystalEntry] = []
        with self._helpers.open() as pool:
            for entry in crystals:
                if job.stop_event.is_set():
                    break
                done = len(made) + len(failed)
                job.message = f"Relaxing with CHGNet; {done} of {len(crystals)} done…"
                relaxed, text = relax_one(entry, pool)
                if relaxed is None:
                    failed.append(f"{entry.structure.composition.reduced_formula}: {text}")
                else:
                    made.append(relaxed)
                    self._on_made(list(made))
        if failed and not made:
            raise EvaluationError(f"Nothing could be relaxed. {failed[0]}.")
        if len(crystals) == 1:
            job.message = f"Relaxed in {text}; it is the row below."
            return
        job.message = f"{len(made)} of {len(crystals)} are relaxed, each in the row below." + (
            f" Not relaxed: {failed[0]}." if failed else ""
        )

    # -- by itself ---------------------------------------------------------------------------------

    def wake(self) -> None:
        """Look for crystals that are not evaluated yet."""
        self._last = time.monotonic()
        self._look()

    def _look(self) -> None:
        if self is EvaluationBar._newest and self._todo():
            self.background.start(lambda _: self._work())

    def _todo(self) -> list[Structure]:
        with self._gallery.lock:
            first = list(zip(self._gallery.structures, self._gallery.rows, strict=True))[:FIRST]
            return [s for s, row in first if "band_gap" not in row]

    def _work(self) -> None:
        while self._rest() and (lot := self._todo()[:LOT]):
            reference = self._reference()
            with self._helpers.open() as pool:
                facts = evaluate_lot(lot, reference, pool)
                gaps = predicted_gaps(lot, pool)
            found = zip(lot, facts, gaps, strict=True)
            self._gallery.update_crystals([(s, fact | gap) for s, fact, gap in found])

    def _rest(self) -> bool:
        """Wait until nobody else works; return whether to go on at all."""
        while self is EvaluationBar._newest:
            if not self._busy() and time.monotonic() - self._last > QUIET:
                return True
            time.sleep(0.1)
        return False


def evaluate_lot(
    crystals: Sequence[Structure],
    reference: Reference | None,
    executor: Executor,
    unique: bool = False,
) -> list[dict[str, Any]]:
    """Return validity of some crystals, uniqueness among them, and novelty with a reference."""
    columns = {"valid": "validity", "unique": "uniqueness"} if unique else {"valid": "validity"}
    table = evaluate(list(crystals), metrics=list(columns.values()), workers=executor).table
    facts = table[list(columns)]
    if reference is not None:  # separately, as validity would be found for all of it, too
        found = evaluate(list(crystals), reference, metrics=["novelty"], workers=executor)
        facts = facts.assign(novel=found.table["novel"])
    return [{str(k): bool(v) for k, v in one.items()} for one in facts.to_dict("records")]


def predicted_gaps(crystals: Sequence[Structure], executor: Executor) -> list[dict[str, Any]]:
    """Return the band gap that CGCNN predicts for each of some crystals."""
    gaps = estimate_band_gaps(list(crystals), "cgcnn", workers=executor).gap
    return [{"band_gap": float(gap)} for gap in gaps]


def relax_one(entry: CrystalEntry, executor: Executor) -> tuple[CrystalEntry | None, str]:
    """Return a crystal relaxed by CHGNet, and in how many steps; None, and why it could not be."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = compute_stability([entry.structure], folder, workers=executor)
    line = outcome.table.iloc[0].to_dict()
    relaxed = outcome.relaxed[0]
    if relaxed is None:
        return None, str(line["error"])
    moved = shifts(Cell.from_structure(entry.structure), relaxed.crystal)
    facts = {
        "e_above_hull": float(line["e_above_hull"]),
        "volume_change": round(100 * relaxed.volume_change, 3),
        "energy_change": round(relaxed.energy - relaxed.energy_before, 5),
        "largest_shift": round(float(moved.max()), 4),
    }
    structure = relaxed.crystal.to_structure()
    made = CrystalEntry(structure, "relaxed", facts=facts, parent=entry.identify())
    return made, f"{relaxed.steps} steps"
