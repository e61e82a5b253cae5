"""Buttons that evaluate the crystals of a gallery, or relax the selected one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from crystal_ldm.widgets.base import Notice, Panel, button, column, disable, row
from crystal_ldm.widgets.crystal_entry import CrystalEntry
from crystal_ldm.widgets.jobs import Job

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from crystal_ldm.evaluate.reference_set import Reference

Results = Callable[[dict[int, dict[str, Any]]], Any]
RATES = ("valid", "unique", "novel")


class EvaluationBar(Panel):
    """Evaluates crystals in the background.

    `EvaluationBar(structures, selected, on_rows, on_made)`.

    Args:
        structures: returns the crystals, in the gallery's order.
        selected: returns the crystal to relax, or None.
        on_rows: called with further columns by index.
        on_made: called with the relaxed crystal.
        reference: returns the training crystals for novelty; None: novelty is left out.
    """

    def __init__(
        self,
        structures: Callable[[], Sequence[Structure]],
        selected: Callable[[], Structure | None],
        on_rows: Results,
        on_made: Callable[[list[CrystalEntry]], Any],
        reference: Callable[[], Reference] | None = None,
    ) -> None:
        super().__init__()
        self._structures, self._selected = structures, selected
        self._on_rows, self._on_made, self._reference = on_rows, on_made, reference
        self.job = Job()
        self.notice = Notice()
        guard = self.notice.guard
        self.buttons = [
            button("Evaluate all", guard(self.evaluate), css="cl-small cl-evaluate",
                   tip="Validity, uniqueness, novelty and a predicted band gap"),
            button("Relax selected", guard(self.relax), css="cl-small cl-relax",
                   tip="Relax with the CHGNet potential and compare with its convex hull"),
        ]  # fmt: skip
        self.widget = column(row(*self.buttons), self.notice.widget, css="cl-evaluate-bar")
        self.job.observe(guard(self._on_state), "state")
        self.job.observe(lambda change: self.notice.say(change.new), "message")

    def evaluate(self) -> None:
        """Evaluate all crystals; their rows get further columns."""
        crystals = list(self._structures())
        if crystals:
            self.job.start(lambda job: self._evaluate(job, crystals))

    def relax(self) -> None:
        """Relax the selected crystal; the result is a further crystal."""
        crystal = self._selected()
        if crystal is not None:
            self.job.start(lambda job: self._relax(job, crystal))

    def _evaluate(self, job: Job, crystals: Sequence[Structure]) -> None:
        from crystal_ldm.evaluate import evaluate
        from crystal_ldm.evaluate.band_gap import estimate_band_gaps

        job.message = f"Evaluating {len(crystals)} crystals…"
        known = self._reference() if self._reference is not None else None
        metrics = ["validity", "uniqueness", *(["novelty"] if known is not None else [])]
        table = evaluate(crystals, known, metrics=metrics, workers=1).table
        columns = [name for name in RATES if name in table]
        outcome = {i: {n: bool(table[n].iloc[i]) for n in columns} for i in range(len(crystals))}
        self._on_rows(outcome)
        job.message = "Predicting band gaps…"
        gaps = estimate_band_gaps(list(crystals), "cgcnn", workers=1).gap
        self._on_rows({i: {"band_gap": float(gap)} for i, gap in enumerate(gaps)})
        rates = ", ".join(f"{n} {table[n].mean():.0%}" for n in columns)
        job.message = f"Of {len(crystals)} crystals: {rates}."

    def _relax(self, job: Job, crystal: Structure) -> None:
        from crystal_ldm.errors import EvaluationError
        from crystal_ldm.evaluate.stability import compute_stability

        job.message = "Relaxing with CHGNet; this takes some seconds…"
        with tempfile.TemporaryDirectory() as folder:
            outcome = compute_stability([crystal], folder, workers=1)
        line = outcome.table.iloc[0].to_dict()
        relaxed = outcome.relaxed[0]
        if relaxed is None:
            raise EvaluationError(f"The crystal could not be relaxed: {line['error']}.")
        facts = {"e_above_hull": float(line["e_above_hull"])}
        self._on_made([CrystalEntry(relaxed.crystal.to_structure(), "relaxed", facts=facts)])
        job.message = f"Relaxed in {relaxed.steps} steps; it is the last row of the table."

    def _on_state(self, change: Any) -> None:
        for press in self.buttons:
            disable(press, "Crystals are being evaluated or relaxed." if self.job.busy else "")
        if change.new == "failed":
            self.notice.say(self.job.error, "error")
