"""The Python call and the shell command that give exactly the crystals of a recipe."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pprint import pformat
from textwrap import indent
from typing import Any

from crystal_ldm.widgets.export.request import arguments_of, settings_of

import crystal_ldm.sampling as sampling
from crystal_ldm.pretrained import available
from crystal_ldm.sampling import Settings, keyword_call, presets

COMMAND = "crystal-ldm run 04_sample"


def python_code(recipe: Mapping[str, Any]) -> str:
    """Return a script that makes the crystals of `recipe` again as `result`.

    The recipe of one crystal gives that crystal alone.
    """
    count, settings = settings_of(recipe)
    keywords = keyword_call(settings)
    parts = [f"num_samples={count}", *(f"{n}={source_of(v)}" for n, v in keywords.items())]
    if "number" in recipe:
        place = (recipe["row"], recipe["number"])
        parts.append(f"wanted=lambda row, number: (row, number) == {place}")
    name = str(recipe["model"])
    loader = "load_pretrained" if name in available() else "load_model"
    imports = [f"from crystal_ldm import {loader}"]
    request, arguments = recipe["request"], arguments_of(recipe["request"])
    if request is None:
        asked = "request = None  # elements and sizes as in the training set"
    else:
        imports.append("from crystal_ldm.crystals import CrystalBatch")
        asked = _asked(request, arguments, settings.preset)
    return "\n".join(
        [
            *imports,
            *_imports_of(list(keywords.values())),
            "",
            f"ldm = {loader}({name!r})  # weights {recipe['model_hash'][:12]}",
            asked,
            _call("result = ldm.sample", "request", *parts),
        ]
    )


def shell_line(recipe: Mapping[str, Any]) -> str:
    """Return the shell command; where there is none, a comment that says why."""
    count, settings = settings_of(recipe)
    arguments = arguments_of(recipe["request"])
    if arguments is None or any(
        isinstance(v, list) for v in arguments.get("conditions", {}).values()
    ):
        return "# The rows of this request differ in their targets or rules: use the Python call."
    if settings.offset or "number" in recipe:
        return (
            "# The notebook makes all crystals of a request, from the first: use the Python call."
        )
    said = _given(arguments, settings.preset)
    targets = dict(said.pop("conditions", {}))
    values: dict[str, Any] = {"ldm_ckpt": recipe["model"], "formula": "", **said}
    if "band_gap" in targets:
        values["band_gap"] = targets.pop("band_gap")
    if targets:
        values["conditions"] = targets
    values["num_samples"] = count
    values |= {name: plain(value) for name, value in keyword_call(settings).items()}
    parts = (f"--{n.replace('_', '-')} {shlex.quote(_text(v))}" for n, v in values.items())
    return " ".join([COMMAND, *parts])


def source_of(value: Any) -> str:
    """Return Python source of a value; of settings, with the fields that differ from theirs."""
    if isinstance(value, Settings):
        said = (
            f"{n}={source_of(getattr(value, n))}" for n in value.model_dump(exclude_defaults=True)
        )
        return f"{type(value).__name__}({', '.join(said)})"
    if isinstance(value, tuple) and any(isinstance(one, Settings) for one in value):
        return f"[{', '.join(map(source_of, value))}]"
    return repr(value)


def plain(value: Any) -> Any:
    """Return settings as the plain data that a notebook's parameter takes."""
    if isinstance(value, Settings):
        return value.to_dict()
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def _imports_of(values: list[Any]) -> list[str]:
    """Return the imports of the settings' classes; one of a user's own comes from its module."""
    classes: set[type] = set()
    for value in values:
        parts = value if isinstance(value, list | tuple) else [value]
        classes |= {type(one) for one in parts if isinstance(one, Settings)}
    shipped = sorted(c.__name__ for c in classes if getattr(sampling, c.__name__, None) is c)
    lines = [f"from crystal_ldm.sampling import {', '.join(shipped)}"] if shipped else []
    for one in sorted(classes, key=lambda c: c.__name__):
        if one.__name__ in shipped:
            continue
        if one.__module__ == "__main__":
            lines.append(f"# {one.__name__} is the class that you have defined")
        else:
            lines.append(f"from {one.__module__} import {one.__name__}")
    return lines


def _asked(request: Mapping[str, Any], arguments: Mapping[str, Any] | None, preset: str) -> str:
    if arguments is None:
        text = pformat(dict(request), width=88, compact=True, sort_dicts=False)
        return f"request = CrystalBatch.from_request(\n{indent(text, '    ')}\n)"
    said = _given(arguments, preset)
    targets = said.pop("conditions", {})
    first = said.pop("formula", None)
    if first is None:
        function, first = "from_num_atoms", said.pop("num_atoms")
    else:
        function = "from_formulas"
    parts = [repr(first), *(f"{n}={v!r}" for n, v in {**said, **targets}.items())]
    return _call(f"request = CrystalBatch.{function}", *parts)


def _given(arguments: Mapping[str, Any], preset: str) -> dict[str, Any]:
    """Return the arguments with single values instead of lists of equal ones, but the formula units
    that the preset takes itself."""
    found = dict(arguments)
    for name in ("formula", "num_atoms"):
        if len(arguments.get(name, ())) == 1:
            found[name] = arguments[name][0]
    units = found.pop("formula_units", [])
    if any(one not in (presets()[preset].formula_units, None) for one in units):
        found["formula_units"] = units[0] if all(one == units[0] for one in units) else units
    return found


def _text(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
        return ", ".join(value)
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _call(function: str, *parts: str) -> str:
    line = f"{function}({', '.join(parts)})"
    if len(line) <= 88:
        return line
    return f"{function}(\n" + "".join(f"    {part},\n" for part in parts) + ")"
