"""The crystals of a recipe, made again."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import CheckpointError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.pretrained import load_model
from crystal_ldm.recipe.format_1 import settings_of_format_1
from crystal_ldm.sampling.denoising import Order
from crystal_ldm.sampling.recipe import versions
from crystal_ldm.sampling.recipe_files import read_recipe
from crystal_ldm.sampling.result import SampleResult
from crystal_ldm.sampling.sample import iter_sample, place_order
from crystal_ldm.sampling.settings import SamplingSettings


def from_recipe(file: Path | str | bytes, ldm: LDMModule | None = None) -> SampleResult:
    """Make the crystals of a recipe again: all of a `recipe.json`, the one of a CIF.

    Args:
        file: see `read_recipe`.
        ldm: the model; None: the one that the recipe names.

    Raises:
        DataError: see `read_recipe`.
        CheckpointError: the model is not there, or not the one that made the crystals.
        RequestError: `LDMModule.sample` does not know an argument, or refuses the request.
    """
    recipe = read_recipe(file)
    ldm = model_of_recipe(recipe, ldm)
    order = order_of_recipe(recipe, ldm)
    wanted = [(recipe["row"], recipe["number"])] if "number" in recipe else None
    return SampleResult.of_batches(list(iter_sample(order, wanted=wanted)))


def model_of_recipe(recipe: Mapping[str, Any], ldm: LDMModule | None = None) -> LDMModule:
    """Return the model that made a recipe's crystals; versions that differ are warned of.

    Args:
        recipe: see `read_recipe`.
        ldm: the model; None: the one that the recipe names.

    Raises:
        CheckpointError: the model is not there, or not the one that made the crystals.
    """
    _warn_of_versions(recipe["versions"])
    ldm = ldm or load_model(recipe["model"])
    if recipe.get("known_hash", ldm.training_crystals.hash) != ldm.training_crystals.hash:
        raise CheckpointError(
            f"The recipe uses the training crystals of the model '{recipe['model']}', and this one "
            "has others: it would give other crystals. Pass the right one: "
            "from_recipe(file, ldm=...)."
        )
    if not makes_crystals_of(ldm, recipe):
        raise CheckpointError(
            f"The recipe was made by the model '{recipe['model']}' with hash "
            f"{recipe['model_hash'][:12]}, and this one has {ldm.model_hash[:12]}: it would give "
            "other crystals. Pass the right one: from_recipe(file, ldm=...)."
        )
    return ldm


def makes_crystals_of(ldm: LDMModule, recipe: Mapping[str, Any]) -> bool:
    """Return whether a model makes a recipe's crystals.

    It does by the hash of its weights, or by that of what it was before one of its conditions was
    calibrated (`ScalarCondition`), unless a target is one that the calibration changes.

    Raises:
        RequestError: the recipe's request is none.
    """
    if recipe["model_hash"] in ldm.hashes:
        return True
    if recipe["model_hash"] not in ldm.data_info.get("hashes_before_calibration", ()):
        return False
    request = recipe["request"]
    targets = {} if request is None else CrystalBatch.from_request(request).conditions
    return not any(
        bool((torch.as_tensor(targets[name]) > calibration[0, 0]).any())
        for name, condition in ldm.conditions.items()
        if (calibration := getattr(condition, "calibration", None)) is not None and name in targets
    )


def order_of_recipe(recipe: Mapping[str, Any], ldm: LDMModule) -> Order:
    """Return the checked request that a recipe describes, to be carried out by `iter_sample`.

    Raises:
        RequestError: `LDMModule.sample` does not know an argument, or refuses the request.
    """
    batch, num_samples, sampling = arguments_of_recipe(recipe)
    return place_order(ldm, batch, num_samples, sampling, recipe.get("first_row", 0))


def arguments_of_recipe(
    recipe: Mapping[str, Any],
) -> tuple[CrystalBatch | None, int, dict[str, Any]]:
    """Return request, num_samples and the other keywords of `sample`.

    What the computing is done on is left to the machine at hand, but for the precision.

    Raises:
        RequestError: `LDMModule.sample` does not know an argument.
    """
    sampling, request = dict(recipe["sampling"]), recipe["request"]
    num_samples = sampling.pop("num_samples", 1)
    batch = None if request is None else CrystalBatch.from_request(request)
    if recipe["format"] == 1:
        return batch, num_samples, settings_of_format_1(sampling)
    return batch, num_samples, SamplingSettings.from_dict(sampling).keywords()


def _warn_of_versions(made_with: Mapping[str, Any]) -> None:
    here = versions()
    other = [f"{k} {v} (here {here[k]})" for k, v in made_with.items() if here.get(k, v) != v]
    if other:
        warnings.warn(
            f"The recipe was made with {', '.join(other)}: the crystals may differ slightly.",
            stacklevel=3,
        )
