"""The formula box: what is typed is read at once, and what was understood is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Listeners, Notice, Panel, counted
from crystal_ldm.widgets.controls.training_cells import TrainingCells
from crystal_ldm.widgets.jobs import Latest
from crystal_ldm.widgets.layout import caption, column, labelled, row, show_if

from crystal_ldm.crystals.formula import parse_formula
from crystal_ldm.errors import CrystalLDMError, RequestError

Look = Callable[[str], TrainingCells | None]
MOST_KINDS = 6
"""Kinds of training crystals of a formula that have a button."""
PLACEHOLDER = "SrTiO3, or Sr?O3 with ? for any element"


class FormulaBox(Panel):
    """A formula with feedback: `FormulaBox(elements=ldm.elements, max_atoms=ldm.max_atoms)`.

    Traits:
        text: the formula as typed, or several between commas; empty leaves all atoms open.
        formula_units: formula units in the cell, used when there is a formula; 0: 1, or with
            `likely_units` those that are likely for the formula.
        likely_units: whether crystals take the likely formula units where none are given.
        counts: atoms of each element in the cell of one formula without open atoms; empty for
            others, and where cells have several sizes. Read-only.
        num_atoms: atoms in the cell when there is no formula; 0 draws it as in the training set.
        problem: why this cannot be made, one sentence; empty if it can. Read-only.
        open_atoms: how many atoms of the cell have no element yet; read-only.
        symbols: the elements that the formula names; read-only.
        training: the `TrainingCells` of the formula, or None; found in the background. Read-only.

    Attributes:
        on_group: `on_group(action)`: call `action(symbol)` when a training crystal is taken, of
            which this box itself takes the formula units.
    """

    text = tl.Unicode("")
    formula_units = tl.Int(0, min=0)
    likely_units = tl.Bool(False)
    counts = tl.List(tl.Int(), read_only=True)
    num_atoms = tl.Int(0, min=0)
    problem = tl.Unicode("", read_only=True)
    open_atoms = tl.Int(0, read_only=True)
    symbols = tl.List(tl.Unicode(), read_only=True)
    training = tl.Any(None, allow_none=True, read_only=True)

    def __init__(
        self,
        text: str = "",
        *,
        elements: Iterable[str] = (),
        max_atoms: int = 20,
        seen_atoms: int | None = None,
        typical_atoms: str = "",
        look: Look | None = None,
    ) -> None:
        """`elements` are the symbols that the model knows (empty: all), `max_atoms` the most in a
        cell; `look` finds what the training set has of a formula, and `seen_atoms` are in the
        largest cell of that set."""
        super().__init__()
        self.elements, self.max_atoms = list(elements), max_atoms
        self._seen = seen_atoms
        self._typical = typical_atoms
        self._look = look
        self._found = ""
        self.on_group = Listeners()
        self.known = Notice()
        self._latest = Latest(self.known)
        self.cells = row()
        box = ipw.Text(placeholder=PLACEHOLDER, continuous_update=True)
        self.linked("text", box, "cl-formula")
        self._automatic = caption("")
        self.units_row = self.number(
            "formula_units",
            "Formula units",
            self._automatic,
            tip="How many formula units one cell holds; likely: as in similar crystals",
        )
        self.atoms_row = self.number(
            "num_atoms", "Atoms in the cell", tip="0: as in the training set"
        )
        self.widget = column(
            labelled("Formula", box),
            self.notice.widget,
            self.known.widget,
            self.cells,
            self.units_row,
            self.atoms_row,
            css="cl-formula-box",
        )
        self.observe(lambda _: self._say_training(), ["training", "formula_units", "likely_units"])
        self.observe(
            self.notice.guard(self._read),
            ["text", "formula_units", "likely_units", "num_atoms"],
        )
        self.observe(lambda _: self._say_automatic(), "likely_units")
        self.text = text
        self._say_automatic()
        self._say_training()
        self._read()

    def _read(self, _: Any = None) -> None:
        given, counts, problem = bool(self.formulas), list[int](), ""
        show_if(given, self.units_row)
        show_if(not given, self.atoms_row)
        try:
            if given:
                counts = self._read_formula()
            else:
                self._read_count()
        except CrystalLDMError as error:
            problem = str(error)
            self.set_trait("open_atoms", 0)
            self.notice.say(problem, "error")
        self.set_trait("problem", problem)
        self.set_trait("counts", counts)
        self._find()

    @property
    def formulas(self) -> list[str]:
        """The formulas typed, one or several between commas."""
        return [part.strip() for part in self.text.replace(";", ",").split(",") if part.strip()]

    def _read_formula(self) -> list[int]:
        """Say what was understood; return the atoms of each element, see `counts`."""
        parsed = [parse_formula(text) for text in self.formulas]
        symbols = list(dict.fromkeys(symbol for one in parsed for symbol in one.counts))
        self.set_trait("symbols", symbols)
        unknown = [symbol for symbol in symbols if self.elements and symbol not in self.elements]
        units, several = self.formula_units or 1, self.likely_units and not self.formula_units
        total = max(one.num_atoms for one in parsed) * units
        if unknown:
            verb = "is" if len(unknown) == 1 else "are"
            raise RequestError(
                f"{', '.join(unknown)} {verb} not among the {len(self.elements)} elements that "
                "this model was trained on."
            )
        if total > self.max_atoms:
            raise RequestError(
                f"{total} atoms in the cell are more than the {self.max_atoms} that this model "
                f"can make.{' Fewer formula units would do.' if units > 1 else ''}"
            )
        open_atoms = sum(one.num_open for one in parsed)
        self.set_trait("open_atoms", open_atoms * units)
        where = "a formula unit" if several and not open_atoms else "the cell"
        atoms, seen = f"{counted(total, 'atom')} in {where}", self._seen or self.max_atoms
        if len(parsed) > 1:
            self.notice.say(f"{len(parsed)} formulas, up to {atoms}.", "good")
            return []
        parts = [f"{symbol} {count}" for symbol, count in parsed[0].counts.items()]
        if open_atoms:
            parts.append(f"any element {open_atoms}")
        if total > seen:
            self.notice.say(_unseen(total, seen), "warning")
        else:
            self.notice.say(f"{', '.join(parts)}. {atoms}, of at most {seen}.", "good")
        closed = not open_atoms and not several
        return [count * units for count in parsed[0].counts.values()] if closed else []

    def _read_count(self) -> None:
        if self.num_atoms > self.max_atoms:
            raise RequestError(f"This model makes at most {self.max_atoms} atoms in a cell.")
        self.set_trait("symbols", [])
        self.set_trait("open_atoms", self.num_atoms or self.max_atoms)
        if self._seen and self.num_atoms > self._seen:
            self.notice.say(_unseen(self.num_atoms, self._seen), "warning")
        elif self.num_atoms:
            self.notice.say(f"Any composition of {self.num_atoms} atoms.")
        else:
            typical = f" ({self._typical})" if self._typical else ""
            self.notice.say(f"Any composition, as many atoms as in the training set{typical}.")

    # -- what the training set has ---------------------------------------------------------------

    def _find(self) -> None:
        """Look for the formula in the training set, in the background."""
        formulas = self.formulas
        wanted = formulas[0] if len(formulas) == 1 and "?" not in formulas[0] else ""
        wanted = "" if self.problem else wanted
        if wanted == self._found or self._look is None:
            return
        self._found, look = wanted, self._look
        self.set_trait("training", None)
        self._latest.start(
            lambda: look(wanted) if wanted else None,
            lambda found: self.set_trait("training", found),
        )

    def _say_training(self) -> None:
        cells = self.training
        likely = self.likely_units and not self.formula_units and cells is not None
        said = [] if cells is None else [cells.sentence, cells.likely if likely else ""]
        self.known.say(" ".join(filter(None, said)))
        fitting = [kind for kind in cells.kinds if kind[1] <= self.max_atoms] if cells else []
        if not self.on_group:  # the model takes no space group
            fitting = list(dict.fromkeys(("", size, units) for _, size, units in fitting))
        self.cells.children = [
            self.button(f"{f'{symbol}, ' if symbol else ''}{counted(size, 'atom')}",
                        partial(self._take, symbol, units), css="cl-small",
                        tip=f"Ask for {symbol} with formula units in the cell: {units}"
                        if symbol else f"Formula units in the cell: {units}")
            for symbol, size, units in fitting[:MOST_KINDS]
        ]  # fmt: skip
        show_if(bool(self.cells.children), self.cells)

    def _say_automatic(self) -> None:
        self._automatic.value = f"0: {'likely ones in turn' if self.likely_units else 'one'}"

    def _take(self, symbol: str, units: int) -> None:
        self.formula_units = units
        self.on_group.tell(symbol)


def _unseen(atoms: int, seen: int) -> str:
    return (
        f"{atoms} atoms in the cell: the training set of this model has cells of at most {seen}, "
        "so that little can be expected."
    )
