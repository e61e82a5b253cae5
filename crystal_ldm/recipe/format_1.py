"""Recipes of format 1, in which the settings of sampling were 22 flat names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crystal_ldm.errors import RequestError, suggest

_DEFAULTS: dict[str, Any] = {
    "sampler": "ddim",
    "sampling_steps": 5,
    "eta": 0.0,
    "cfg_scale": 2.0,
    "cfg_interval": [0.0, 1.0],
    "temperature": 1.0,
    "composition_temperature": 1.0,
    "seed": 0,
    "offset": 0,
    "trajectory": False,
    "precision": "float32",
    "compile": False,
    "batch_size": "auto",
    # A recipe without min_distance is older than that: nothing was made again for it.
    "min_distance": 0.0,
    "band_gap_tolerance": 0.0,
    "new_formulas": False,
    "relative_distance": 0.0,
    "new_crystals": False,
    "template_strength": 0.0,
    "template_share": 1.0,
    "templates": 8,
    "max_attempts": 5,
}


def settings_of_format_1(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of `LDMModule.sample` that give the same crystals.

    Args:
        sampling: flat options of format 1; what is missing is what it was before the option.

    Raises:
        RequestError: for a name that format 1 does not have, or a value that is none.
    """
    for name in sampling:
        if name not in _DEFAULTS:
            raise RequestError(f"Sampling has no option '{name}'.{suggest(name, _DEFAULTS)}")
    old = {**_DEFAULTS, **sampling}
    filters: list[dict[str, Any]] = []
    if limit := old.pop("min_distance"):
        filters.append({"name": "min_distance", "limit": limit})
    if old.pop("new_crystals"):
        filters.append({"name": "not_in_training"})
    if tolerance := old.pop("band_gap_tolerance"):
        filters.append({"name": "band_gap_within", "tolerance": tolerance})
    names = {"strength": "template_strength", "share": "template_share", "count": "templates"}
    prototype = {field: old.pop(name) for field, name in names.items()}
    elements = {
        "temperature": old.pop("composition_temperature"),
        "new_formula": old.pop("new_formulas"),
        "max_distance_to_known": old.pop("relative_distance") or None,
        "charge_balanced": False,
    }
    attempts = old.pop("max_attempts")
    start = {"name": "prototype", **prototype} if prototype["strength"] else {"name": "noise"}
    return {**old, "start": start, "elements": elements, "filters": filters, "attempts": attempts}
