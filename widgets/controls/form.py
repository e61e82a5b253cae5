"""All that is asked of a model, in one form: from what is typed to a request, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import numpy as np
import traitlets as tl
from crystal_ldm.widgets.base import Notice, Panel, column, fold, labelled
from crystal_ldm.widgets.controls.advanced import AdvancedControls
from crystal_ldm.widgets.controls.conditions import ConditionControls
from crystal_ldm.widgets.controls.formula import FormulaBox
from crystal_ldm.widgets.controls.guidance import GuidanceControls
from crystal_ldm.widgets.controls.periodic_table import PeriodicTable
from crystal_ldm.widgets.controls.scalar import condition_title
from crystal_ldm.widgets.controls.seed import SeedControl
from crystal_ldm.widgets.export.request import RequestArguments, arguments_of, first_row

if TYPE_CHECKING:
    from crystal_ldm.crystals import CrystalBatch
    from crystal_ldm.ldm_module import LDMModule

LOCKED = "The formula names every atom. Write ? for an atom that may be any element."


class RequestForm(Panel):
    """What to ask a model for: `RequestForm(ldm)`.

    Traits:
        num_samples: crystals for each formula.
        problem: the first reason why this cannot be made; empty if it can. Read-only.
    """

    num_samples = tl.Int(16, min=1, max=10_000)
    problem = tl.Unicode("", read_only=True)

    def __init__(self, ldm: LDMModule) -> None:
        super().__init__()
        about = {name: condition.describe() for name, condition in ldm.conditions.items()}
        self._kinds = {name: text["kind"] for name, text in about.items()}
        self.notice = Notice()
        self.formula = FormulaBox(
            elements=ldm.elements,
            max_atoms=ldm.max_atoms,
            typical_atoms=_typical(ldm.num_atoms_histogram),
        )
        self.table = PeriodicTable(ldm.elements)
        self.conditions = ConditionControls(ldm.conditions, elements=ldm.elements)
        self.guidance = GuidanceControls({n: condition_title(a)[0] for n, a in about.items()})
        self.advanced = AdvancedControls(devices=_devices())
        self.seed = SeedControl()
        count = ipw.BoundedIntText(min=1, max=10_000)
        count.add_class("cl-count")
        count.add_class("cl-samples")
        tl.link((self, "num_samples"), (count, "value"))
        self._rules = fold("Elements of open atoms", self.table.widget)
        self.widget = column(
            self.formula.widget,
            self._rules,
            self.conditions.widget,
            labelled("Crystals", count, tip="How many for each formula"),
            self.seed.widget,
            fold("Guidance", self.guidance.widget),
            fold("Advanced", self.advanced.widget),
            self.notice.widget,
            css="cl-form",
        )
        self.formula.observe(self._check, ["text", "problem", "open_atoms", "num_atoms"])
        self.conditions.observe(self._check, ["values", "problem"])
        self._check()

    # -- from the form to a request --------------------------------------------------------------

    def arguments(self) -> RequestArguments:
        """Return what the form says, as `crystal_ldm.runs.generate.make_request` takes it."""
        formulas = self.formula.formulas
        made = RequestArguments(formulas, conditions=dict(self.conditions.values))
        if formulas:
            made.formula_units = [self.formula.formula_units] * len(formulas)
        elif self.formula.num_atoms:
            made.num_atoms = [self.formula.num_atoms]
        if self.formula.open_atoms:
            for name, symbols in self.table.rules().items():
                setattr(made, name, symbols)
        return made

    def request(self) -> CrystalBatch | None:
        """Return the request; None: de novo.

        Raises:
            CrystalLDMError: for what cannot be made, in one sentence.
        """
        from crystal_ldm.errors import RequestError

        if self.problem:
            raise RequestError(self.problem)
        return self.arguments().make()

    def options(self) -> dict[str, Any]:
        """Return the keyword arguments of `LDMModule.sample` besides `num_samples` and seed."""
        found = self.advanced.values()
        del found["device"]
        return {**found, "cfg_scale": self.guidance.value()}

    # -- from a request to the form --------------------------------------------------------------

    def fill(
        self, request: Mapping[str, Any] | None, sampling: Mapping[str, Any] | None = None
    ) -> str:
        """Show a request (`CrystalBatch.to_request()`) and sampling options.

        Returns:
            What the form could not show, one sentence; empty if it shows all of it.
        """
        arguments, note = arguments_of(request), ""
        if arguments is None and request is not None:
            arguments = arguments_of(first_row(request))
            note = "The rows of that request have different rules; the form shows the first row."
        arguments = arguments or RequestArguments()
        units = set(arguments.formula_units) or {1}
        sizes = arguments.num_atoms
        targets = dict(arguments.conditions)
        if len(units) > 1 or len(sizes) > 1 or any(isinstance(v, list) for v in targets.values()):
            note = "The rows of that request differ; the form shows what one row asks for."
            targets = {n: v[0] if isinstance(v, list) else v for n, v in targets.items()}
        with self.formula.hold_trait_notifications():
            self.formula.text = ", ".join(arguments.formula)
            self.formula.formula_units = max(units)
            self.formula.num_atoms = sizes[0] if sizes else 0
        self.table.set_rules(arguments.required, arguments.allowed, arguments.forbidden)
        self.conditions.values = targets
        self.fill_options(sampling or {})
        return note

    def fill_options(self, sampling: Mapping[str, Any]) -> None:
        """Show sampling options; those that are not named stay as they are."""
        self.advanced.set_values(sampling)
        if "cfg_scale" in sampling:
            self.guidance.set_value(sampling["cfg_scale"])
        if "num_samples" in sampling:
            self.num_samples = int(sampling["num_samples"])
        if "seed" in sampling:
            self.seed.seed = int(sampling["seed"])

    # -- feedback --------------------------------------------------------------------------------

    def _check(self, _: Any = None) -> None:
        self.table.locked = "" if self.formula.open_atoms or self.formula.problem else LOCKED
        self.guidance.active = [
            name
            for name, kind in self._kinds.items()
            if (self.formula.formulas if kind == "composition" else name in self.conditions.values)
        ]
        sized = self.formula.formulas or self.formula.num_atoms
        problem = self.formula.problem or self.conditions.problem
        if not problem and self.conditions.values and not sized:
            problem = "A target needs a formula or a number of atoms in the cell."
        self.set_trait("problem", problem)
        own = problem if problem not in (self.formula.problem, self.conditions.problem) else ""
        self.notice.say(own, "warning")


def _typical(histogram: list[int]) -> str:
    """Return the sizes of most training cells, "2 to 14"."""
    counts = np.asarray(histogram, dtype=float)
    if not counts.sum():
        return ""
    share = np.cumsum(counts) / counts.sum()
    low, high = (int(np.searchsorted(share, level)) for level in (0.05, 0.95))
    return f"mostly {low} to {high}"


def _devices() -> list[str]:
    from crystal_ldm.nn.device import available_devices

    return ["auto", *available_devices()]
