"""Recipes: everything that a set of generated crystals depends on, as plain JSON.

A recipe has these keys:

| key | value |
|---|---|
| `format` | version of this layout, 2; in 1 `sampling` was flat (`crystal_ldm.recipe.format_1`) |
| `model` | name of the shipped model, or path of the checkpoint |
| `model_hash` | hash of its weights and configuration |
| `data_hash` | hash of the data set that it was trained on |
| `known_hash` | hash of the training crystals in its file, where options use them |
| `request` | `CrystalBatch.to_request()`; null: de novo |
| `sampling` | `num_samples` and `SamplingSettings.to_dict()` |
| `versions` | of crystal_ldm, torch, numpy, pymatgen |
| `first_row` | number of the first row of `request`, where that is part of a larger one; else 0 |
| `row`, `number` | in the CIF of one crystal: its row and its number in that row |
| `recipe_hash` | there, `recipe_hash` of the recipe of all crystals |

It is stored as `recipe.json` of a run and, as the data item `_crystal_ldm_recipe`, in each CIF. A
CIF has the crystal's own row of the request alone; those written before have the whole request.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from crystal_ldm.errors import DataError, suggest
from crystal_ldm.files.writing import atomic_write_json
from crystal_ldm.sampling.recipe_files import MAX_BYTES, cif_text, recipe_text
from crystal_ldm.sampling.schema import MOST

FORMAT = 2

_REQUIRED: dict[str, tuple[type, ...]] = {
    "format": (int,),
    "model": (str,),
    "model_hash": (str,),
    "request": (dict, type(None)),
    "sampling": (dict,),
    "versions": (dict,),
}
_OPTIONAL: dict[str, tuple[type, ...]] = {
    "data_hash": (str,),
    "known_hash": (str,),
    "first_row": (int,),
    "row": (int,),
    "number": (int,),
    "recipe_hash": (str,),
}


def versions() -> dict[str, str]:
    """Return the versions of the packages that decide which crystals come out."""
    import crystal_ldm

    by_package = {"crystal_ldm": crystal_ldm.__version__}
    for name in ("torch", "numpy", "pymatgen"):
        try:
            by_package[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            by_package[name] = "unknown"
    return by_package


def make_recipe(
    model: str,
    model_hash: str,
    request: Mapping[str, Any] | None,
    sampling: Mapping[str, Any],
    data_hash: str = "",
    known_hash: str = "",
    first_row: int = 0,
) -> dict[str, Any]:
    """Return the checked recipe of one call of `LDMModule.sample`.

    Args:
        model: name of the shipped model, or path of the checkpoint.
        model_hash: `LDMModule.model_hash`.
        request: `CrystalBatch.to_request()`, or None for crystals de novo.
        sampling: the call's other keyword arguments, without `callback`.
        data_hash: `content_hash` of the training data.
        known_hash: that of the model's `training_crystals`, where the sampling uses them.
        first_row: number of the request's first row, where it is part of a larger one.

    Raises:
        DataError: a value is not plain JSON.
    """
    recipe = {
        "format": FORMAT,
        "model": model,
        "model_hash": model_hash,
        "data_hash": data_hash,
        **({"known_hash": known_hash} if known_hash else {}),
        "request": None if request is None else dict(request),
        **({"first_row": first_row} if first_row else {}),
        "sampling": dict(sampling),
        "versions": versions(),
    }
    return check_recipe(_plain(recipe))


def write_recipe(path: Path | str, recipe: Mapping[str, Any]) -> None:
    """Write a recipe to `path` as JSON, whole or not at all.

    Raises:
        DataError: it is not a recipe.
        RunError: the file system refused.
    """
    atomic_write_json(path, check_recipe(_plain(recipe)))


def recipe_hash(recipe: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a recipe, which does not depend on the order of its keys."""
    text = json.dumps(dict(recipe), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def recipe_of_row(recipe: Mapping[str, Any], row: int) -> dict[str, Any]:
    """Return a recipe whose request has that row alone, and gives the same crystals for it.

    Raises:
        DataError: `recipe` has no such row.
    """
    request, i = recipe["request"], row - recipe.get("first_row", 0)
    if request is None:
        return dict(recipe)
    if not 0 <= i < len(request["atoms"]):
        raise DataError(f"The recipe has no row {row}.")
    alone = {name: request[name][i : i + 1] for name in ("atoms", "element_rules")}
    conditions = {name: _own(values, i) for name, values in request["conditions"].items()}
    if request.get("formula_units"):
        alone["formula_units"] = request["formula_units"][i : i + 1]
    alone["conditions"] = {name: [value] for name, (value, kept) in conditions.items() if kept}
    if request.get("crystals"):
        alone["crystals"] = {key: v[i : i + 1] for key, v in request["crystals"].items()}
    return {**recipe, "request": alone, "first_row": row}


def _own(values: Sequence[Any], i: int) -> tuple[Any, bool]:
    """Return a row's value of a condition, and whether it says what kind the condition is.

    A row without a target among ranges draws a random number as they do, and stays one of them.
    """
    if values[i] is None and any(isinstance(value, list) for value in values):
        return [None, None], True
    return values[i], values[i] is not None or not any(isinstance(v, str) for v in values)


def embed_recipe(
    cif: str, recipe: Mapping[str, Any], row: int, number: int, whole_hash: str = ""
) -> str:
    """Return the text of a CIF with the recipe of the crystal in it.

    Args:
        cif: text with one data block.
        recipe: of the whole result.
        row: the crystal's row of the request.
        number: the crystal's number within that row.
        whole_hash: `recipe_hash(recipe)`, where it is known already.

    Raises:
        DataError: `cif` has no data block, or `recipe` is not one.
    """
    own = {
        **recipe_of_row(check_recipe(recipe), int(row)),
        "row": int(row),
        "number": int(number),
        "recipe_hash": whole_hash or recipe_hash(recipe),
    }
    whole = check_recipe(_plain(own))
    return cif_text(cif, json.dumps(whole, indent=1, ensure_ascii=True, allow_nan=False))


def read_recipe(file: Path | str | bytes) -> dict[str, Any]:
    """Return the recipe in a file made here.

    Args:
        file: path (or, as bytes, content) of a `recipe.json`, of a CIF, or of a zip archive that
            holds one of them.

    Raises:
        DataError: it cannot be read, holds no recipe, or the recipe is damaged.
    """
    name = "the given file" if isinstance(file, bytes) else f"'{file}'"
    text = recipe_text(file, name)
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DataError(f"The recipe in {name} is damaged or cut short ({error}).") from error
    return check_recipe(content, name)


def check_recipe(recipe: Any, name: str = "the recipe") -> dict[str, Any]:
    """Return `recipe` when it has the layout that this module describes.

    Raises:
        DataError: with the key that is wrong.
    """
    if not isinstance(recipe, dict):
        raise DataError(f"{name} holds no recipe but a {type(recipe).__name__}.")
    known = {**_REQUIRED, **_OPTIONAL}
    for key, value in recipe.items():
        if key not in known:
            raise DataError(f"{name}: unknown key '{key}' in the recipe.{suggest(key, known)}")
        if not isinstance(value, known[key]) or isinstance(value, bool):
            raise DataError(f"{name}: '{key}' of the recipe is a {type(value).__name__}.")
    for key in _REQUIRED:
        if key not in recipe:
            raise DataError(f"{name}: the recipe lacks '{key}'.")
    if recipe["format"] not in (1, FORMAT):
        raise DataError(
            f"{name}: the recipe has layout {recipe['format']}, and this version reads layouts 1 "
            f"and {FORMAT}. Use the version of crystal_ldm that wrote it."
        )
    if ("row" in recipe) != ("number" in recipe):
        raise DataError(f"{name}: the recipe of one crystal has both 'row' and 'number'.")
    for key in ("first_row", "row", "number"):
        if recipe.get(key, 0) < 0:
            raise DataError(f"{name}: '{key}' of the recipe is negative.")
    samples = recipe["sampling"].get("num_samples", 1)
    if isinstance(samples, int) and samples > MOST:
        raise DataError(f"{name}: {samples} samples are more than the {MOST} allowed.")
    return recipe


def _plain(recipe: Mapping[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(dict(recipe), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"A recipe must be plain JSON values ({error}).") from error
    if len(text) > MAX_BYTES:
        raise DataError(f"The recipe is larger than {MAX_BYTES // 2**20} MiB: split the request.")
    return dict(json.loads(text))


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not allowed in a recipe")
