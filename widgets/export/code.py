"""The Python call and the papermill line that give exactly the crystals of a recipe."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pprint import pformat
from typing import Any

from crystal_ldm.widgets.export.request import RequestArguments, arguments_of

NOTEBOOK = "notebooks/04_sample.ipynb"
_SAMPLING = (
    "num_samples", "seed", "cfg_scale", "cfg_interval", "sampler", "sampling_steps", "eta",
    "temperature", "composition_temperature", "precision", "min_distance", "band_gap_tolerance",
    "new_formulas", "relative_distance", "new_crystals", "template_strength",
    "template_share", "templates", "max_attempts",
)  # fmt: skip
_RARE = {"offset": 0}
"""Options that the notebook does not have, and their usual values."""


def python_code(recipe: Mapping[str, Any]) -> str:
    """Return a script that makes the crystals of `recipe` again as `result`."""
    sampling = dict(recipe["sampling"])
    kept = {name: sampling[name] for name in _SAMPLING if name in sampling}
    kept |= {n: sampling[n] for n, usual in _RARE.items() if sampling.get(n, usual) != usual}
    request = recipe["request"]
    arguments = arguments_of(request)
    lines = ["from crystal_ldm.pretrained import load_model"]
    if request is None:
        asked = ["request = None  # elements and sizes as in the training set"]
    elif arguments is None:
        lines.insert(0, "from crystal_ldm.crystals import CrystalBatch")
        text = pformat(dict(request), width=88, compact=True, sort_dicts=False)
        asked = [f"request = CrystalBatch.from_request(\n{_indent(text)}\n)"]
    else:
        lines[0] += ", make_request"
        asked = [_call("request = make_request", _given(arguments))]
    model = str(recipe["model"])
    loaded = f"ldm = load_model({model!r})  # weights {recipe['model_hash'][:12]}"
    return "\n".join([*lines, "", loaded, *asked, _call("result = ldm.sample", kept, "request")])


def papermill_line(recipe: Mapping[str, Any]) -> str:
    """Return the shell command; where there is none, a comment that says why."""
    sampling = recipe["sampling"]
    arguments = arguments_of(recipe["request"])
    if arguments is None or any(isinstance(v, list) for v in arguments.conditions.values()):
        return "# The rows of this request differ in their targets or rules: use the Python call."
    if any(sampling.get(name, usual) != usual for name, usual in _RARE.items()):
        return "# This uses an option that the notebook does not have: use the Python call."
    given = _given(arguments)
    targets = dict(given.pop("conditions", {}))
    values: dict[str, Any] = {"ldm_ckpt": recipe["model"], "formula": "", **given}
    if "band_gap" in targets:
        values["band_gap"] = targets.pop("band_gap")
    if targets:
        values["conditions"] = targets
    values |= {name: sampling[name] for name in _SAMPLING if name in sampling}
    # -r hands over text as it is typed; the notebook reads numbers and lists out of it.
    parts = [f"-r {name} {shlex.quote(_text(value))}" for name, value in values.items()]
    return " ".join([f"papermill {NOTEBOOK} out.ipynb", *parts])


def _given(arguments: RequestArguments) -> dict[str, Any]:
    """Return the arguments that say something, single values instead of lists of equal ones."""
    found: dict[str, Any] = {}
    if arguments.formula:
        found["formula"] = _one(arguments.formula)
        found["formula_units"] = _one_if_equal(arguments.formula_units)
    elif arguments.num_atoms:
        found["num_atoms"] = _one(arguments.num_atoms)
    for name in ("conditions", "required", "allowed", "forbidden"):
        if getattr(arguments, name):
            found[name] = getattr(arguments, name)
    return found


def _one(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _one_if_equal(values: list[int]) -> int | list[int]:
    return values[0] if len(set(values)) == 1 else values


def _text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return ", ".join(value)
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _call(function: str, arguments: Mapping[str, Any], *first: str) -> str:
    parts = [*first, *(f"{name}={value!r}" for name, value in arguments.items())]
    line = f"{function}({', '.join(parts)})"
    if len(line) <= 88:
        return line
    return f"{function}(\n" + "".join(f"    {part},\n" for part in parts) + ")"


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
