"""An experiment: a configuration, and the data set that it trains on."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crystal_ldm.config import check, load_config
from crystal_ldm.crystals.symmetry.space_groups import SPACE_GROUP
from crystal_ldm.data import DATASETS, CrystalDataset, find_source, load_dataset
from crystal_ldm.data.registry import CSV_DATASETS
from crystal_ldm.errors import ConfigError
from crystal_ldm.training.callbacks import TimeLimit
from crystal_ldm.training.settings import TrainingSettings
from crystal_ldm.training.starting_model import build_module as build_module


@dataclass
class DataOptions:
    """Which crystals to train on: `dataset` (see `load_dataset`), at most `max_atoms` in a cell."""

    dataset: str
    max_atoms: int = 20


@dataclass
class Experiment:
    """The outermost keys of an experiment's YAML."""

    data: DataOptions
    vae_module: Any = None
    ldm_module: Any = None
    training: TrainingSettings = field(default_factory=TrainingSettings)


def load_experiment(
    name: str,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    *,
    dataset: str | Path = "",
    conditions: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a checked experiment configuration as plain data.

    Args:
        name: a file of `configs/experiment`, by itself (`ldm_joint`) or below the name of a data
            set (`mp_20/ldm_joint`).
        overrides: see `crystal_ldm.config.load_config`.
        seed: of the training.
        dataset: what to train on, a name or path; empty: what `name` and `overrides` say.
        conditions: further ones of an LDM (see `read_conditions`).

    Raises:
        ConfigError: for an unknown name, key or value, with a suggestion.
    """
    config = load_config(name, list(overrides), schema=Experiment)
    key = module_key(config)
    if seed is not None:
        config[key]["seed"] = seed
    if dataset:
        config["data"]["dataset"] = str(dataset)
    if conditions:
        if key == "vae_module":
            raise ConfigError(f"{name} trains a VAE, which has no conditions.")
        known = config[key].get("conditions") or {}
        config[key]["conditions"] = {**known, **read_conditions(conditions)}
        check(config, "conditions", Experiment)
    return config


def module_key(config: dict[str, Any]) -> str:
    """Return which of `vae_module` and `ldm_module` the experiment trains."""
    keys = [key for key in ("vae_module", "ldm_module") if config.get(key)]
    if len(keys) != 1:
        raise ConfigError(
            "An experiment trains one of vae_module and ldm_module; this one names both or none."
        )
    return keys[0]


def not_yet_steering(module: Any, history: Sequence[Mapping[str, float]]) -> str:
    """Return one sentence on added conditions whose training was ended early; "" if it was not.

    Half-trained they hardly act: with 60 crystals and half of the composition model's steps, the
    samples at a low and at a high target do not differ (`benchmarks/README.md`).

    Args:
        module: what was trained, with the steps that it has had (`global_step`).
        history: lines of metrics (`read_metrics`).
    """
    steps, most = int(module.global_step), int(module.optimizer.max_steps)
    lines = [line for line in history if "composition_epochs" in line]
    done, epochs = 1.0, 1.0
    if module.composition_model is not None:
        last = lines[-1] if lines else {"composition_epoch": 0.0, "composition_epochs": 1.0}
        done, epochs = last["composition_epoch"], last["composition_epochs"]
    if not module.added or (steps >= most and done >= epochs):
        return ""
    names = " and ".join(f"'{name}'" for name in module.added)
    return (
        f"{names} cannot steer yet: {steps:,} of {most:,} steps are done, and {done / epochs:.0%} "
        "of those of the composition model, which chooses elements by it; run the same command "
        "with the same run_dir again, or with a larger max_minutes."
    )


def default_experiment(
    kind: str, init_from: str = "", conditions: Mapping[str, Any] | None = None
) -> str:
    """Return the experiment that is meant when none is named.

    Args:
        kind: `vae` or `ldm`.
        init_from: the model to start from; empty: none.
        conditions: the user's own.
    """
    if kind == "vae":
        return "vae"
    if init_from:
        return "finetune"
    return "ldm_composition" if conditions else "ldm_joint"


def load_data(
    config: Mapping[str, Any],
    data_dir: str | Path = "",
    *,
    max_minutes: float | None = None,
    stop: threading.Event | None = None,
) -> CrystalDataset:
    """Return the data set that an experiment trains on.

    Args:
        data_dir: folder with the files of a public data set that is not fetched by itself.
        max_minutes: longest time for crystals that are not in the cache yet.
        stop: an event that ends the reading when it is set.

    Raises:
        ConfigError: if `data_dir` is given for a data set that reads nothing from it.
        DataError: if the data cannot be read, or not in this time; then the next call goes on.
    """
    limit = TimeLimit(max_minutes, stop)
    source, max_atoms = str(config["data"]["dataset"]), config["data"].get("max_atoms", 20)
    if data_dir and source not in CSV_DATASETS:
        reason = "is fetched by itself" if source in DATASETS else "is a path"
        raise ConfigError(
            f"data_dir '{data_dir}' would not be used: the data set '{source}' {reason}. To train "
            f"on what lies there write dataset={data_dir}; else leave data_dir empty."
        )
    return load_dataset(
        *find_source(source, str(data_dir or "")), max_atoms=max_atoms, over=limit.over
    )


_EXAMPLE = "{bulk_modulus: {label: k_vrh, unit: GPa}}"


def read_conditions(conditions: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Return the configuration of each condition.

    Args:
        conditions: by name: a mapping as in an experiment's YAML, of which `_target_` may be left
            out (`{bulk_modulus: {label: k_vrh, unit: GPa}}` is a number, `{system: {options:
            [cubic, hexagonal]}}` a category), or the unit alone of a number whose label has the
            condition's name (`{k_vrh: GPa}`). `{space_group: }` needs no label: spglib finds it.

    Raises:
        ConfigError: for something else.
    """
    configs = {}
    for name, value in (conditions or {}).items():
        if not str(name).isidentifier():
            raise ConfigError(
                f"The condition '{name}' needs a name of letters, digits and _; its label may be "
                f"any column: {_EXAMPLE}."
            )
        if value is None or isinstance(value, str):
            value = {"unit": value or ""}
        if not isinstance(value, Mapping):
            raise ConfigError(
                f"The condition '{name}' should be a unit or a mapping such as {_EXAMPLE}, "
                f"and is {value!r}."
            )
        kind = "CategoryCondition" if "options" in value else "ScalarCondition"
        if name == SPACE_GROUP and "options" not in value:
            kind = "SpaceGroupCondition"
        configs[str(name)] = {"_target_": kind, **value}
    return configs
