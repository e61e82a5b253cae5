"""A request in words: the formulas, sizes, targets and rules that a person would type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import gcd
from typing import Any

import numpy as np

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.request import NOT_GIVEN
from crystal_ldm.errors import CrystalLDMError
from crystal_ldm.recipe import arguments_of_recipe
from crystal_ldm.runs.generate import make_request
from crystal_ldm.sampling import Compute, SamplingSettings

OPEN = "?"


@dataclass
class RequestArguments:
    """The arguments of `crystal_ldm.runs.generate.make_request`."""

    formula: list[str] = field(default_factory=list)
    formula_units: list[Any] = field(default_factory=list)
    num_atoms: list[int] = field(default_factory=list)
    conditions: dict[str, Any] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)

    def make(self) -> CrystalBatch | None:
        """Return the request."""
        given = asdict(self)
        given["formula_units"] = self.formula_units or None
        return make_request(**given)


def arguments_of(request: Mapping[str, Any] | None) -> RequestArguments | None:
    """Return arguments that give exactly `request` (`CrystalBatch.to_request()`).

    None where a request cannot be said that way, for example with other rules for each row.
    """
    if request is None:
        return RequestArguments()
    if "crystals" in request:  # coordinates: nothing that a person would type
        return None
    found = _guess(request)
    try:
        again = found.make()
    except CrystalLDMError:
        return None
    return found if again is not None and again.to_request() == dict(request) else None


def settings_of(recipe: Mapping[str, Any]) -> tuple[int, SamplingSettings]:
    """Return how many crystals a row of a recipe has, and how they are sampled.

    What the computing is done on is left to the machine at hand, but for the precision.

    Raises:
        RequestError: for a setting that does not exist, or a value that is none.
    """
    _, count, keywords = arguments_of_recipe(recipe)
    settings = SamplingSettings.make(keywords)
    here = settings.compute.precision == "float32"  # what auto is, too
    precision = "auto" if here else settings.compute.precision
    return count, settings.changed(compute=Compute(precision=precision))


def _guess(request: Mapping[str, Any]) -> RequestArguments:
    made = RequestArguments()
    rows: Sequence[Sequence[str]] = request["atoms"]
    if all(symbol == OPEN for row in rows for symbol in row):
        made.num_atoms = [len(row) for row in rows]
    else:
        asked = request.get("formula_units") or [None] * len(rows)
        for row, units in zip(rows, asked, strict=True):
            counts = Counter(row)
            one = gcd(*counts.values()) if units is None else 1
            text = (f"{s}{n // one if n > one else ''}" for s, n in counts.items())
            made.formula.append("".join(text))
            made.formula_units.append(one if units is None else _open_units(units))
    for name, values in request["conditions"].items():
        tidy = [_tidy(value) for value in values]
        made.conditions[name] = tidy[0] if all(v == tidy[0] for v in tidy) else tidy
    for name, symbols in (request["element_rules"][0] if rows else {}).items():
        setattr(made, name, list(symbols))
    return made


def _open_units(units: Any) -> Any:
    """Return what a request says of formula units that are no number, as a person gives it."""
    if isinstance(units, Mapping):
        return {int(number): share for number, share in units.items()}
    return None if units == NOT_GIVEN else units


def _tidy(value: Any) -> Any:
    """Return a single-precision number as a person would write it: 2.3, not 2.299999952."""
    if isinstance(value, float):
        return float(str(np.float32(value)))
    if isinstance(value, list | tuple):
        parts = [_tidy(v) for v in value]
        return tuple(parts) if all(isinstance(v, float) for v in parts) else parts
    return value
