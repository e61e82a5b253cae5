"""Below a table: which columns it shows, duplicates folded, and its rows as files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Panel, counted
from crystal_ldm.widgets.browser.buttons import SaveButton
from crystal_ldm.widgets.crystal_entry import CrystalEntry
from crystal_ldm.widgets.export.archive import zip_crystals
from crystal_ldm.widgets.helpers import Helpers
from crystal_ldm.widgets.jobs import Job
from crystal_ldm.widgets.layout import caption, column, row, show_if, toggle
from crystal_ldm.widgets.panels.rows import column_info
from pymatgen.core import Structure

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.same_crystal import SAME_CRYSTAL, reduced_cell
from crystal_ldm.errors import RequestError
from crystal_ldm.evaluate.uniqueness_and_novelty import find_duplicates
from crystal_ldm.files.writing import csv_text
from crystal_ldm.parallel.executor import Executor

if TYPE_CHECKING:
    from crystal_ldm.widgets.panels.gallery import Gallery


class TableTools(Panel):
    """Tools of a gallery's table: `TableTools(gallery, helpers)`.

    Args:
        gallery: has the crystals and their table.
        helpers: compare the crystals.

    Traits:
        folded: whether crystals that are the same are one row with their number.
    """

    folded = tl.Bool(False)

    def __init__(self, gallery: Gallery, helpers: Helpers) -> None:
        super().__init__()
        self.gallery, self.table, self._helpers = gallery, gallery.table, helpers
        self._compared: list[tuple[Structure, Cell | None, int]] = []
        self.job = Job()
        self.boxes: dict[str, ipw.Checkbox] = {}
        self._columns = row(css="cl-columns")
        show_if(False, self._columns)
        opened = toggle("Columns", "Choose the columns of the table")
        fold = toggle("Fold duplicates", "Show crystals that are the same as one row")
        self.csv = SaveButton(self._make_csv, self.notice, text="Table (CSV)")
        self.zip = SaveButton(self._make_zip, self.notice, text="CIFs (zip)")
        self.which = caption("")
        self.widget = column(
            row(
                row(opened, fold),
                row(self.which, self.csv, self.zip),
                css="cl-bar",
            ),
            self._columns,
            self.notice.widget,
            css="cl-table-tools",
        )
        guard = self.notice.guard
        opened.observe(lambda change: show_if(change.new, self._columns), "value")
        self.linked("folded", fold)
        self.react("folded", self._fold)
        self.table.observe(guard(lambda _: self._offer_columns()), "columns")
        self.table.observe(guard(lambda _: self._fold()), "rows")
        self.table.observe(lambda _: self._say_which(), ["order", "checked"])
        self.job.tell(self.notice, "Comparing crystals…")
        self._offer_columns()
        self._say_which()

    # -- columns ---------------------------------------------------------------------------------

    def _offer_columns(self) -> None:
        keys = [one["key"] for one in self.table.columns]
        if list(self.boxes) != keys:
            self.boxes = {key: self.boxes.get(key) or self._box(key) for key in keys}
            self._columns.children = tuple(self.boxes.values())
        for key, box in self.boxes.items():
            box.value = key not in self.table.hidden

    def _box(self, key: str) -> ipw.Checkbox:
        about = column_info(key)
        box = ipw.Checkbox(True, description=about.axis, indent=False, tooltip=about.tip)
        box.layout.width = "auto"
        box.observe(lambda change: self._turn(key, change.new), "value")
        return box

    def _turn(self, key: str, shown: bool) -> None:
        hidden = [k for k in self.table.hidden if k != key]
        self.table.hidden = hidden if shown else [*hidden, key]

    # -- duplicates ------------------------------------------------------------------------------

    def _fold(self) -> None:
        """Fold or unfold; what is not compared yet is compared in the background."""
        if not self.folded:
            self.table.folded = False
            self.notice.clear()
            return
        old, count = self.table.groups, len(self.table.rows)
        self.table.groups = [*old[:count], *range(min(len(old), count), count)]
        self.job.start(self._compare)

    def _compare(self, job: Job) -> None:
        while True:
            structures = self.gallery.structures
            with self._helpers.open() as pool:
                groups = self._groups(structures, pool)
            if list(map(id, self.gallery.structures)) == list(map(id, structures)):
                break  # else some came or went meanwhile
        with self.table.hold_trait_notifications():
            self.table.groups = groups
            self.table.folded = self.folded
        said = f"{counted(len(groups), 'crystal')}, {len(set(groups))} distinct."
        job.message = said if self.folded else ""  # it may have been unfolded meanwhile

    def _groups(self, structures: Sequence[Structure], executor: Executor) -> list[int]:
        """Return for each crystal the position of the first one that is the same.

        What was found is kept, so that crystals that join cost only their own comparisons: about
        5 ms of a core for a crystal and 4 ms for each comparison.
        """
        pairs = zip(self._compared, structures, strict=False)
        old = len(self._compared)
        if old > len(structures) or any(one[0] is not other for one, other in pairs):
            old = 0  # some are gone
        groups = [first for _, _, first in self._compared[:old]]
        kept = (cell for _, cell, _ in self._compared[:old])
        cells = map(Cell.from_structure, structures[old:])
        reduced = [*kept, *(outcome.value for outcome in executor.map(reduced_cell, cells))]
        firsts = [i for i, first in enumerate(groups) if first == i]
        asked = [*firsts, *range(old, len(structures))]
        found = find_duplicates([reduced[i] for i in asked], SAME_CRYSTAL, executor)
        for i, one in list(zip(asked, found, strict=True))[len(firsts) :]:
            groups.append(i if one.of is None else asked[one.of])
        self._compared = list(zip(structures, reduced, groups, strict=True))
        return groups

    # -- files -----------------------------------------------------------------------------------

    def _say_which(self) -> None:
        kind = "chosen row" if self.table.checked else "shown row"
        self.which.value = f"{counted(len(self.table.chosen), kind)}:"

    def _make_csv(self) -> tuple[str, bytes]:
        _, rows = self._rows()
        columns = [c["key"] for c in self.table.columns if c["key"] not in self.table.hidden]
        return "crystals.csv", csv_text(rows, columns).encode()

    def _make_zip(self) -> tuple[str, bytes]:
        return "crystals.zip", zip_crystals(*self._rows())

    def _rows(self) -> tuple[list[CrystalEntry], list[dict[str, Any]]]:
        chosen = self.table.chosen
        if not chosen:
            raise RequestError("The filter leaves no row: change it, or check rows without it.")
        return self.gallery.at(chosen)
