"""Buttons that evaluate the crystals of a gallery, or relax the chosen ones."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crystal_ldm.widgets.base import Panel, button, column, row, show_if
from crystal_ldm.widgets.crystal_entry import CrystalEntry
from crystal_ldm.widgets.helpers import Helpers
from crystal_ldm.widgets.jobs import Job
from pymatgen.core import Structure

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.errors import EvaluationError
from crystal_ldm.evaluate import evaluate
from crystal_ldm.evaluate.band_gap import estimate_band_gaps
from crystal_ldm.evaluate.reference_set import Reference
from crystal_ldm.evaluate.stability import compute_stability
from crystal_ldm.evaluate.stability.relaxation import shifts
from crystal_ldm.parallel.executor import Executor

Facts = Callable[[list[tuple["Structure", Mapping[str, Any]]]], Any]
RATES = ("valid", "unique", "novel")


class EvaluationBar(Panel):
    """Evaluates crystals in the background.

    `EvaluationBar(structures, chosen, on_facts, on_made)`.

    Args:
        structures: returns the crystals, in the gallery's order.
        chosen: returns the crystals to relax.
        on_facts: called with crystals and their further columns.
        on_made: called after each crystal with all that this press has relaxed so far, the newest
            last; the `parent` of each is the crystal that it was.
        reference: returns the training crystals for novelty; without any, novelty is left out.
        helpers: do the work.
    """

    def __init__(
        self,
        structures: Callable[[], Sequence[Structure]],
        chosen: Callable[[], Sequence[CrystalEntry]],
        on_facts: Facts,
        on_made: Callable[[list[CrystalEntry]], Any],
        reference: Callable[[], Reference | None] = lambda: None,
        helpers: Helpers | None = None,
    ) -> None:
        super().__init__()
        self._structures, self._chosen = structures, chosen
        self._on_facts, self._on_made, self._reference = on_facts, on_made, reference
        self._helpers = helpers or Helpers()
        self.job = Job()
        guard = self.notice.guard
        self.buttons = [
            button("Evaluate all", guard(self.evaluate), css="cl-small cl-evaluate",
                   tip="Validity, uniqueness, novelty and a predicted band gap"),
            button("Relax", guard(self.relax), css="cl-small cl-relax",
                   tip="Relax the chosen rows, or the selected one, with the CHGNet potential "
                   "and compare with its convex hull"),
        ]  # fmt: skip
        tip = "End after this crystal; relaxed ones are kept"
        self.halt = self.job.stop_button(css="cl-small", tip=tip)
        show_if(False, self.halt)
        self.widget = column(row(*self.buttons, self.halt), self.notice.widget,
                             css="cl-evaluate-bar")  # fmt: skip
        why = "Crystals are being evaluated or relaxed."
        self.job.tell(self.notice, "Starting…", self.buttons, why)
        self.job.observe(lambda change: show_if(change.new == "running", self.halt), "state")

    def evaluate(self) -> None:
        """Evaluate all crystals; their rows get further columns."""
        crystals = list(self._structures())
        if crystals:
            self.job.start(lambda job: self._evaluate(job, crystals))

    def relax(self) -> None:
        """Relax the chosen crystals; each result is a further crystal, below the one it was."""
        crystals = list(self._chosen())
        if crystals:
            self.job.start(lambda job: self._relax(job, crystals))

    def _evaluate(self, job: Job, crystals: Sequence[Structure]) -> None:
        job.message = f"Evaluating {len(crystals)} crystals…"
        known = self._reference()
        metrics = ["validity", "uniqueness", *(["novelty"] if known is not None else [])]
        with self._helpers.open() as pool:
            table = evaluate(crystals, known, metrics=metrics, workers=pool).table
            columns = [name for name in RATES if name in table]
            facts = [{n: bool(table[n].iloc[i]) for n in columns} for i in range(len(crystals))]
            self._on_facts(list(zip(crystals, facts, strict=True)))
            job.message = "Predicting band gaps…"
            gaps = estimate_band_gaps(list(crystals), "cgcnn", workers=pool).gap
        self._on_facts([(s, {"band_gap": float(g)}) for s, g in zip(crystals, gaps, strict=True)])
        rates = ", ".join(f"{n} {table[n].mean():.0%}" for n in columns)
        job.message = f"Of {len(crystals)} crystals: {rates}."

    def _relax(self, job: Job, crystals: Sequence[CrystalEntry]) -> None:
        failed: list[str] = []
        made: list[CrystalEntry] = []
        with self._helpers.open() as pool:
            for entry in crystals:
                if job.stop_event.is_set():
                    break
                job.message = (
                    f"Relaxing with CHGNet; {len(made) + len(failed)} of {len(crystals)} done…"
                    if len(crystals) > 1
                    else "Relaxing with CHGNet; this takes some seconds…"
                )
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
