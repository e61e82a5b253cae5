"""A request in words: the formulas, sizes, targets and rules that a person would type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import gcd
from typing import Any

import numpy as np

from crystal_ldm.crystals.request import NOT_GIVEN
from crystal_ldm.errors import CrystalLDMError
from crystal_ldm.recipe import arguments_of_recipe
from crystal_ldm.runs.generate import make_request
from crystal_ldm.sampling import Compute, SamplingSettings

OPEN = "?"


def arguments_of(request: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the arguments of `crystal_ldm.runs.generate.make_request` that give exactly `request`
    (`CrystalBatch.to_request()`), those that say something.

    None where a request cannot be said that way, for example with other rules for each row.
    """
    if request is None:
        return {}
    if "crystals" in request:  # coordinates: nothing that a person would type
        return None
    found = _guess(request)
    try:
        again = make_request(**found)
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


def _guess(request: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    rows: Sequence[Sequence[str]] = request["atoms"]
    if all(symbol == OPEN for row in rows for symbol in row):
        made["num_atoms"] = [len(row) for row in rows]
    else:
        made |= {"formula": [], "formula_units": []}
        asked = request.get("formula_units") or [None] * len(rows)
        for row, units in zip(rows, asked, strict=True):
            counts = Counter(row)
            one = gcd(*counts.values()) if units is None else 1
            text = (f"{s}{n // one if n > one else ''}" for s, n in counts.items())
            made["formula"].append("".join(text))
            made["formula_units"].append(one if units is None else _open_units(units))
    targets = {name: [_tidy(v) for v in values] for name, values in request["conditions"].items()}
    rules = request["element_rules"][0] if rows else {}
    made["conditions"] = {
        n: v[0] if all(one == v[0] for one in v) else v for n, v in targets.items()
    }
    return {name: value for name, value in {**made, **rules}.items() if value}


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
