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
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crystal_ldm.config.numbers import sentence
from crystal_ldm.errors import DataError

FORMAT = 2
MAX_BYTES = 16 * 2**20
"""Of a recipe's text."""


class _Layout(BaseModel):
    """The keys of a recipe; see the module."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal[1, 2]
    model: str
    model_hash: str
    request: dict[str, Any] | None
    sampling: dict[str, Any]
    versions: dict[str, Any]
    data_hash: str = ""
    known_hash: str = ""
    first_row: int = Field(0, ge=0)
    row: int = Field(0, ge=0)
    number: int = Field(0, ge=0)
    recipe_hash: str = ""


def versions() -> dict[str, str]:
    """Return the versions of the packages that decide which crystals come out."""
    import crystal_ldm

    others = {name: metadata.version(name) for name in ("torch", "numpy", "pymatgen")}
    return {"crystal_ldm": crystal_ldm.__version__, **others}


def make_recipe(
    model: str,
    model_hash: str,
    request: Mapping[str, Any] | None,
    sampling: Mapping[str, Any],
    data_hash: str = "",
    known_hash: str = "",
    first_row: int = 0,
) -> dict[str, Any]:
    """Return the recipe of one call of `LDMModule.sample`; see the module.

    Raises:
        DataError: a value is not plain JSON, or there is more than a recipe may hold.
    """
    recipe = {
        "format": FORMAT,
        "model": model,
        "model_hash": model_hash,
        "data_hash": data_hash,
        **({"known_hash": known_hash} if known_hash else {}),
        "request": request,
        **({"first_row": first_row} if first_row else {}),
        "sampling": sampling,
        "versions": versions(),
    }
    try:
        text = json.dumps(recipe, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"A recipe must be plain JSON values ({error}).") from error
    if len(text) > MAX_BYTES:
        raise DataError(f"The recipe is larger than {MAX_BYTES // 2**20} MiB: split the request.")
    return check_recipe(json.loads(text))


def recipe_hash(recipe: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a recipe, which does not depend on the order of its keys."""
    text = json.dumps(dict(recipe), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def recipe_of_row(recipe: Mapping[str, Any], row: int) -> dict[str, Any]:
    """Return a recipe whose request has that row alone, and gives the same crystals for it.

    Raises:
        DataError: `recipe` has no such row, or its request is none.
    """
    request, i = recipe["request"], row - recipe.get("first_row", 0)
    if request is None:
        return dict(recipe)
    try:
        if not 0 <= i < len(request["atoms"]):
            raise DataError(f"The recipe has no row {row}.")
        return {**recipe, "request": _row_of(request, i), "first_row": row}
    except (AttributeError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"The request of the recipe was changed or is damaged ({error}).") from None


def _row_of(request: Mapping[str, Any], i: int) -> dict[str, Any]:
    alone = {name: request[name][i : i + 1] for name in ("atoms", "element_rules")}
    conditions = {name: _own(values, i) for name, values in request["conditions"].items()}
    if request.get("formula_units"):
        alone["formula_units"] = request["formula_units"][i : i + 1]
    alone["conditions"] = {name: [value] for name, (value, kept) in conditions.items() if kept}
    if request.get("crystals"):
        alone["crystals"] = {key: v[i : i + 1] for key, v in request["crystals"].items()}
    return alone


def _own(values: Sequence[Any], i: int) -> tuple[Any, bool]:
    """Return a row's value of a condition, and whether it says what kind the condition is.

    A row without a target among ranges draws a random number as they do, and stays one of them.
    """
    if values[i] is None and any(isinstance(value, list) for value in values):
        return [None, None], True
    return values[i], values[i] is not None or not any(isinstance(v, str) for v in values)


def check_recipe(recipe: Any, name: str = "the recipe") -> dict[str, Any]:
    """Return `recipe` when it has the layout that this module describes.

    Raises:
        DataError: with the key that is wrong.
    """
    if not isinstance(recipe, dict):
        raise DataError(f"{name} holds no recipe but a {type(recipe).__name__}.")
    try:
        _Layout.model_validate(recipe)
    except ValidationError as error:
        raise DataError(
            f"The recipe in {name} cannot be used: {sentence(_Layout, error, 'key')}"
        ) from None
    if ("row" in recipe) != ("number" in recipe):
        raise DataError(f"{name}: the recipe of one crystal has both 'row' and 'number'.")
    return recipe
