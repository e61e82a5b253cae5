"""An experiment: a configuration, a data set and a run directory, trained by one call."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from crystal_ldm.config import check, instantiate, load_config, target_class
from crystal_ldm.data import DATASETS, CrystalDataset, load_dataset
from crystal_ldm.errors import ConfigError
from crystal_ldm.files import resolve_path
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.nn.checkpoints import Checkpoint, load_module
from crystal_ldm.pretrained import available, model_file
from crystal_ldm.training.condition_shorthand import read_conditions
from crystal_ldm.training.settings import TrainingSettings
from crystal_ldm.training.time_limit import TimeLimit
from crystal_ldm.vae_module import VAEModule

ADAPTER = 32
"""Rank of the layers through which an added condition acts."""


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


def train(
    config: dict[str, Any],
    run_dir: str | Path,
    *,
    data_dir: str | Path | None = None,
    vae_ckpt: str | Path | None = None,
    init_from: str | Path | None = None,
    max_minutes: float | None = None,
    stop: threading.Event | None = None,
    **options: Any,
) -> Any:
    """Train what `config` (see `load_experiment`) describes and return it with the best weights.

    Args:
        config: the experiment.
        run_dir: where checkpoints and metrics go; a run found there is resumed.
        data_dir: folder of the data set's files, where it needs one.
        vae_ckpt: for an LDM, the trained VAE; empty with `init_from`: that model's.
        init_from: a model of the same kind whose weights to start with.
        max_minutes: time budget of this call, the reading of the data included.
        stop: an event that ends the call when it is set.
        options: further arguments of `fit`, e.g. `live`.

    Raises:
        ConfigError: if an LDM is given no VAE.
        DataError: if the data cannot be read, or not in this time; then the next call goes on.
    """
    from crystal_ldm.training.fit import fit

    started = time.monotonic()
    key = module_key(config)
    dataset = load_data(config, data_dir or "", max_minutes=max_minutes, stop=stop)
    module = build_module(config[key], key, vae_ckpt, init_from)
    if max_minutes is not None:
        max_minutes -= (time.monotonic() - started) / 60
    settings = TrainingSettings(**config.get("training", {}))
    limits: dict[str, Any] = {"max_minutes": max_minutes, "stop": stop}
    return fit(module, dataset, run_dir, settings, **limits, **options)


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
        config: the experiment.
        data_dir: folder with the files of a public data set that is not fetched by itself.
        max_minutes: longest time for crystals that are not in the cache yet.
        stop: an event that ends the reading when it is set.

    Raises:
        ConfigError: if `data_dir` is given for a data set that reads nothing from it.
        DataError: if the data cannot be read, or not in this time; then the next call goes on.
    """
    limit = TimeLimit(max_minutes, stop)
    source, max_atoms = str(config["data"]["dataset"]), config["data"].get("max_atoms", 20)
    if source in DATASETS and source != "oqmd_icsd":
        folder = resolve_path(data_dir) if data_dir else None
        return load_dataset(source, folder, max_atoms=max_atoms, over=limit.over)
    if data_dir:
        reason = "is fetched by itself" if source in DATASETS else "is a path"
        raise ConfigError(
            f"data_dir '{data_dir}' would not be used: the data set '{source}' {reason}. To train "
            f"on what lies there write dataset={data_dir}; else leave data_dir empty."
        )
    where = source if source in DATASETS else resolve_path(source)
    return load_dataset(where, max_atoms=max_atoms, over=limit.over)


def build_module(
    config: dict[str, Any],
    key: str,
    vae_ckpt: str | Path | None = None,
    init_from: str | Path | None = None,
) -> Any:
    """Build the module to train: new, or with the weights of `init_from`.

    First weights are drawn from the configuration's seed. With `init_from` architecture, conditions
    and weights are that model's, and conditions that it lacks are added to it (see
    `LDMModule.add_conditions`); given both, an LDM starts with the weights of `init_from` and the
    VAE of `vae_ckpt`, which may be that of a trained LDM.

    Raises:
        ConfigError: if an LDM is given no VAE, or a VAE to be trained with its encoder frozen no
            trained one; if the composition is to be added as a condition.
        CheckpointError: if `vae_ckpt` or `init_from` cannot be used.
    """
    with torch.random.fork_rng():
        torch.manual_seed(int(config.get("seed", 0)))
        vae = _load_vae(model_path(vae_ckpt)) if vae_ckpt else None
        if init_from:
            module = _with_weights(config, target_class(config["_target_"]), model_path(init_from))
            return module if vae is None else module.replace_vae(vae)
        if config.get("freeze_encoder"):
            raise ConfigError(
                "freeze_encoder keeps a trained encoder: give init_from, the VAE whose decoder to "
                "train on."
            )
        if key == "ldm_module":
            if vae is None:
                raise ConfigError(
                    "An LDM is trained on the latents of a VAE: give vae_ckpt, the "
                    "model.safetensors or checkpoint of a run of notebook 02_vae."
                )
            config = {**config, "vae": vae.config}
        module = instantiate(config)
        module.config = config
        return module if vae is None else module.replace_vae(vae)


def model_path(model: str | Path) -> Path:
    """Return the file or run directory of a model that is named or given by its path."""
    return model_file(str(model)) if str(model) in available() else resolve_path(model)


def _load_vae(path: Path) -> VAEModule:
    """Return the VAE of a file, or the one that an LDM carries, with the elements of that LDM."""
    checkpoint = Checkpoint.read(path)
    if checkpoint.metadata["kind"] != "ldm":
        return load_module(VAEModule, checkpoint)
    ldm = load_module(LDMModule, checkpoint)
    ldm.vae.config, ldm.vae.data_info = ldm.config["vae"], ldm.data_info
    return ldm.vae


def _with_weights(config: dict[str, Any], cls: Any, path: Path) -> Any:
    """Return the module of a checkpoint: its architecture, and the new experiment's numbers."""
    checkpoint = Checkpoint.read(path)
    old = checkpoint.metadata["config"]
    new = {k: v for k, v in config.items() if k == "optimizer" or not isinstance(v, dict)}
    wanted = config.get("conditions") or {}
    conditions = {
        name: {**kept, **_dropouts(wanted.get(name, {}))}
        for name, kept in (old.get("conditions") or {}).items()
    }
    if conditions:
        new["conditions"] = conditions
    checkpoint.metadata["config"] = {**old, **new}
    module = load_module(cls, checkpoint)
    added = {n: {"adapter": ADAPTER, **c} for n, c in wanted.items() if n not in conditions}
    if config.get("composition_model") and module.composition_model is None:
        module.set_composition_model(instantiate(config["composition_model"]))
        checkpoint.metadata["config"]["composition_model"] = config["composition_model"]
    for name, condition in added.items():
        if condition["_target_"] == "Composition":
            raise ConfigError(
                f"The model of init_from takes no compositions, and '{name}' cannot be added to "
                "it: start from another model, or leave init_from empty."
            )
        checkpoint.metadata["config"].setdefault("conditions", {})[name] = condition
    if added:
        module.add_conditions({n: instantiate(c) for n, c in added.items()})
    module.config = checkpoint.metadata["config"]
    return module.train()


def _dropouts(condition: dict[str, Any]) -> dict[str, Any]:
    """Return what a condition's configuration says about training alone."""
    return {key: condition[key] for key in ("dropout", "partial") if key in condition}
