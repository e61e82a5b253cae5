"""All that is asked of a model, in one form: from what is typed to a request, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import traitlets as tl
from crystal_ldm.widgets.base import Panel
from crystal_ldm.widgets.controls.conditions import ConditionControls, SpaceGroupControl
from crystal_ldm.widgets.controls.formula import FormulaBox
from crystal_ldm.widgets.controls.periodic_table import PeriodicTable
from crystal_ldm.widgets.controls.sampling import SamplingControls
from crystal_ldm.widgets.controls.scalar import condition_title
from crystal_ldm.widgets.controls.seed import SeedControl
from crystal_ldm.widgets.controls.training_cells import most_atoms, training_cells
from crystal_ldm.widgets.export.request import arguments_of, settings_of
from crystal_ldm.widgets.layout import caption, column, fold, row, show_if

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.runs.generate import make_request
from crystal_ldm.sampling import SamplingSettings, presets
from crystal_ldm.sampling.recipe import recipe_of_row

MOST = 1_000_000
"""Crystals for each formula that can be asked for at once."""
LOCKED = "The formula names every atom. Write ? for an atom that may be any element."


class RequestForm(Panel):
    """What to ask a model for: `RequestForm(ldm)`.

    Traits:
        num_samples: crystals for each formula.
        place: (row, number) of the one crystal of the request that is to be made, as in the recipe
            of one crystal; None: all of them.
        offset: number of the first crystal, as in the recipe of a part of a request.
        problem: the first reason why this cannot be made; empty if it can. Read-only.
    """

    num_samples = tl.Int(16, min=1, max=MOST)
    place: tl.TraitType[Any, Any] = tl.Tuple(
        tl.Int(), tl.Int(), default_value=None, allow_none=True
    )
    offset = tl.Int(0, min=0)
    problem = tl.Unicode("", read_only=True)

    def __init__(self, ldm: LDMModule, seed: SeedControl | None = None) -> None:
        """`seed` is that of another model's form, whose place this one takes."""
        super().__init__()
        about = {name: condition.describe() for name, condition in ldm.conditions.items()}
        self._kinds = {name: text["kind"] for name, text in about.items()}
        self.formula = FormulaBox(
            elements=ldm.elements,
            max_atoms=ldm.max_atoms,
            seen_atoms=most_atoms(ldm),
            typical_atoms=_typical(ldm.num_atoms_histogram),
            look=lambda formula: training_cells(ldm, formula),
        )
        self.table = PeriodicTable(ldm.elements)
        self.conditions = ConditionControls(ldm.conditions, elements=ldm.elements)
        for control in self.conditions.controls.values():
            if isinstance(control, SpaceGroupControl):
                tl.dlink((self.formula, "counts"), (control, "counts"))
                self.formula.on_group(control.ask)
        self.sampling = SamplingControls({n: condition_title(a)[0] for n, a in about.items()})
        tl.dlink(
            (self.sampling, "preset"),
            (self.formula, "likely_units"),
            lambda name: presets()[name].formula_units != 1,
        )
        self.seed = seed or SeedControl()
        self._one = caption("")
        self._only = row(self._one, self.button("All, from the first", self._all, css="cl-small"))
        self._rules = fold("Elements of open atoms", self.table.widget)
        self.widget = column(
            self.sampling.choose,
            self.formula.widget,
            self._rules,
            self.conditions.widget,
            self.number("num_samples", "Crystals", tip="For each formula", css="cl-samples"),
            self._only,
            self.seed.widget,
            self.sampling.guidance,
            self.sampling.advanced,
            self.notice.widget,
            css="cl-form",
        )
        self.formula.observe(self._check, ["text", "problem", "open_atoms", "num_atoms"])
        self.conditions.observe(self._check, ["values", "problem"])
        self.table.observe(self._check, "marks")
        self.sampling.observe(self._check, "problem")
        self.observe(lambda _: self._say_place(), ["place", "offset"])
        # Another request or number has other crystals: the one is none of them.
        for part, names in (
            (self.formula, ["text", "formula_units", "num_atoms"]),
            (self.conditions, ["values"]),
            (self, ["num_samples"]),
        ):
            part.observe(lambda _: self._all(), names)
        self._say_place()
        self._check()

    # -- from the form to a request --------------------------------------------------------------

    def arguments(self) -> dict[str, Any]:
        """Return what the form says, as `crystal_ldm.runs.generate.make_request` takes it."""
        formulas = self.formula.formulas
        rules = self.table.rules() if self.formula.open_atoms else {}
        return {
            "formula": formulas,
            "formula_units": [self.formula.formula_units or None] * len(formulas) or None,
            "num_atoms": None if formulas else self.formula.num_atoms,
            "conditions": dict(self.conditions.values),
            **rules,
        }

    def request(self) -> CrystalBatch | None:
        """Return the request; None: de novo.

        Raises:
            CrystalLDMError: for what cannot be made, in one sentence.
        """
        if self.problem:
            raise RequestError(self.problem)
        return make_request(**self.arguments())

    def words(self) -> str:
        """Return what is asked for as a person says it: "SrTiO3, band gap 2.6, 16"."""
        parts = [", ".join(self.formula.formulas)]
        if not self.formula.formulas:
            count = self.formula.num_atoms
            parts = [f"any {count} atoms" if count else "any composition"]
        for name, value in self.conditions.values.items():
            ends = value if isinstance(value, tuple) else (value,)
            text = " to ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in ends)
            parts.append(f"{name.replace('_', ' ')} {text}")
        parts += [f"number {self.place[1]} of {self.num_samples}" if self.place
                  else str(self.num_samples), self.sampling.preset]  # fmt: skip
        return ", ".join(parts)

    def settings(self) -> SamplingSettings:
        """Return how to sample, with the seed.

        Raises:
            RequestError: a field has no value that is one, in one sentence.
        """
        settings: SamplingSettings = self.sampling.taken
        return settings.changed(seed=self.seed.seed, offset=self.offset)

    # -- from a request to the form --------------------------------------------------------------

    def fill_recipe(self, recipe: Mapping[str, Any]) -> str:
        """Show what a recipe says; that of one crystal is that crystal alone.

        Returns:
            What the form could not show, one sentence; empty if it shows all of it.

        Raises:
            RequestError: the crystals start from one that was given, which a form cannot show.
        """
        count, settings = settings_of(recipe)
        note = self.fill(recipe["request"], settings, count)
        self.offset = settings.offset
        if "number" in recipe:
            self.place = (recipe["row"], recipe["number"])
        return note

    def fill(
        self,
        request: Mapping[str, Any] | None,
        settings: SamplingSettings | None = None,
        num_samples: int | None = None,
    ) -> str:
        """Show a request (`CrystalBatch.to_request()`) and how to sample; None: it stays.

        Returns, raises: see `fill_recipe`.
        """
        if settings is not None:
            self.fill_settings(settings)
        if num_samples is not None:
            self.num_samples = num_samples
        arguments, note = arguments_of(request), ""
        if arguments is None and request is not None:
            arguments = arguments_of(recipe_of_row({"request": request}, 0)["request"])
            note = "The rows of that request have different rules; the form shows the first row."
        arguments = arguments or {}
        asked, sizes = arguments.get("formula_units", []), arguments.get("num_atoms", [])
        units = {u if isinstance(u, int) else 0 for u in asked} or {0}
        targets = arguments.get("conditions", {})
        if len(units) > 1 or len(sizes) > 1 or any(isinstance(v, list) for v in targets.values()):
            note = "The rows of that request differ; the form shows what one row asks for."
            targets = {n: v[0] if isinstance(v, list) else v for n, v in targets.items()}
        shares = any(isinstance(u, dict) for u in asked)
        if shares and not self.formula.likely_units:
            note = "That request has cells of several sizes, which the form cannot show."
        with self.formula.hold_trait_notifications():
            self.formula.text = ", ".join(arguments.get("formula", []))
            self.formula.formula_units = max(units)
            self.formula.num_atoms = sizes[0] if sizes else 0
        rules = ("required", "allowed", "forbidden")
        self.table.set_rules(*(arguments.get(name, ()) for name in rules))
        self.conditions.show(targets)
        return note

    def fill_settings(self, settings: SamplingSettings) -> None:
        """Show how to sample."""
        self.sampling.show(settings)
        self.seed.seed = settings.seed

    def follow(self, other: RequestForm) -> str:
        """Ask what the form of another model asked for, as far as this one can be asked for it.

        Returns:
            What it cannot be asked for, one sentence; empty if there is nothing.
        """
        if other.sampling.settings is not None:
            self.fill_settings(other.settings())
        self.num_samples = other.num_samples
        self.formula.num_atoms = other.formula.num_atoms
        self.formula.text = other.formula.text
        self.formula.formula_units = other.formula.formula_units
        controls, targets = self.conditions.controls, other.conditions.values
        self.conditions.values = {n: v for n, v in targets.items() if n in controls}
        dropped = [n for n in targets if n not in controls]
        usable, marks = set(self.table.usable), other.table.marks
        self.table.marks = {s: mark for s, mark in marks.items() if s in usable}
        dropped += [s for s in other.table.required if s not in usable]
        return f"This model does not know {', '.join(dropped)}: left out." if dropped else ""

    def _all(self) -> None:
        self.place, self.offset = None, 0

    def _say_place(self) -> None:
        text = f"From crystal number {self.offset} on, as in the recipe." if self.offset else ""
        if self.place is not None:
            row_number, number = self.place
            which = f"number {number}" + (f" of row {row_number}" if row_number else "")
            text = f"Of these, the one crystal of the recipe is made: {which}."
        self._one.value = text
        show_if(bool(text), self._only)

    # -- feedback --------------------------------------------------------------------------------

    def _check(self, _: Any = None) -> None:
        self.table.locked = "" if self.formula.open_atoms or self.formula.problem else LOCKED
        self.sampling.scales.active = [
            name
            for name, kind in self._kinds.items()
            if (self.formula.formulas if kind == "composition" else name in self.conditions.values)
        ]
        sized = self.formula.formulas or self.formula.num_atoms
        problem = self.formula.problem or self.conditions.problem or self.sampling.problem
        absent = [s for s in self.table.required if s not in self.formula.symbols]
        room = self.formula.open_atoms
        if not problem and room and len(absent) > room:
            atoms = f"{room} open atom{'s' if room > 1 else ''}"
            problem = f"{', '.join(absent)} are required, and there is room for {atoms}."
        if not problem and room and not set(self.table.usable) - set(self.table.forbidden):
            problem = "Every element is forbidden: allow or require one for the open atoms."
        if not problem and self.conditions.values and not sized:
            problem = "A target needs a formula or a number of atoms in the cell."
        self.set_trait("problem", problem)
        shown = (self.formula.problem, self.conditions.problem)
        own = problem if problem not in shown else ""
        self.notice.say(own, "warning")


def _typical(histogram: list[int]) -> str:
    """Return the sizes of most training cells, "2 to 14"."""
    counts = np.asarray(histogram, dtype=float)
    if not counts.sum():
        return ""
    low, high = np.searchsorted(np.cumsum(counts) / counts.sum(), (0.05, 0.95))
    return f"mostly {low} to {high}"
