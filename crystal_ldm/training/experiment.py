"""An experiment: a configuration, a data set and a run directory, trained by one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crystal_ldm.config import instantiate, load_config, target_class
from crystal_ldm.errors import ConfigError
from crystal_ldm.nn.checkpoints import Checkpoint, load_module


@dataclass
class DataOptions:
    """Which crystals to train on: `dataset` (see `load_dataset`), at most `max_atoms` in a cell."""

    dataset: str
    max_atoms: int = 20


@dataclass
class TrainingOptions:
    """Arguments of `crystal_ldm.training.fit`."""

    batch_size: int = 128
    precision: str = "auto"
    compile: bool = False
    cuda_graphs: bool = False
    gradient_clip: float = 1.0
    checkpoint_minutes: float = 3.0
    log_every: int = 50
    validate_every: int = 500
    choose_by: str = "loss"
    match_every: int = 2000
    match_crystals: int = 300


@dataclass
class Experiment:
    """The outermost keys of an experiment's YAML."""

    data: DataOptions
    vae_module: Any = None
    ldm_module: Any = None
    training: TrainingOptions = field(default_factory=TrainingOptions)


def load_experiment(
    name: str, overrides: Sequence[str] = (), seed: int | None = None
) -> dict[str, Any]:
    """Return a checked experiment configuration such as `oqmd_icsd/ldm_joint` as plain data.

    Raises:
        ConfigError: for an unknown name, key or value, with a suggestion.
    """
    config = load_config(name, list(overrides), schema=Experiment)
    key = module_key(config)
    if seed is not None:
        config[key]["seed"] = seed
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
    **options: Any,
) -> Any:
    """Train what `config` (see `load_experiment`) describes and return it with the best weights.

    Args:
        config: the experiment.
        run_dir: where checkpoints and metrics go; a run found there is resumed.
        data_dir: folder of the data set's files, where it needs one.
        vae_ckpt: for an LDM, the trained VAE; empty with `init_from`: that model's.
        init_from: a model of the same kind whose weights to start with.
        max_minutes: time budget of this call.
        options: further arguments of `fit`, e.g. `stop` and `live`.

    Raises:
        ConfigError: if an LDM is given no VAE.
    """
    from crystal_ldm.data import load_dataset
    from crystal_ldm.training.fit import fit

    key = module_key(config)
    data = config["data"]
    dataset = load_dataset(data["dataset"], data_dir, max_atoms=data.get("max_atoms", 20))
    module = build_module(config[key], key, vae_ckpt, init_from)
    return fit(
        module, dataset, run_dir, max_minutes=max_minutes, **config.get("training", {}), **options
    )


def build_module(
    config: dict[str, Any],
    key: str,
    vae_ckpt: str | Path | None = None,
    init_from: str | Path | None = None,
) -> Any:
    """Build the module to train: new, or with the weights of `init_from`.

    Given both, an LDM starts with the weights of `init_from` and the VAE of `vae_ckpt`.

    Raises:
        ConfigError: if an LDM is given no VAE, or a VAE to be trained with its encoder frozen no
            trained one.
        CheckpointError: if `vae_ckpt` or `init_from` cannot be used.
    """
    from crystal_ldm.vae_module import VAEModule

    vae = VAEModule.load_from_checkpoint(vae_ckpt) if vae_ckpt else None
    if init_from:
        cls = target_class(config["_target_"])
        module = _with_weights(config, cls, init_from)
        if config.get("prior") and module.prior is None:
            module.set_prior(instantiate(config["prior"]))
            module.config = {**module.config, "prior": config["prior"]}
        return module if vae is None else module.replace_vae(vae)
    if config.get("freeze_encoder"):
        raise ConfigError(
            "freeze_encoder keeps a trained encoder: give init_from, the VAE whose decoder to "
            "train on."
        )
    if key == "ldm_module":
        if vae is None:
            raise ConfigError(
                "An LDM is trained on the latents of a VAE: give vae_ckpt, the model.safetensors "
                "or checkpoint of a run of notebook 02_vae."
            )
        config = {**config, "vae": vae.config}
    module = instantiate(config)
    module.config = config
    return module if vae is None else module.replace_vae(vae)


def _with_weights(config: dict[str, Any], cls: Any, path: str | Path) -> Any:
    """Return the module of a checkpoint: its architecture, and the new experiment's numbers."""
    checkpoint = Checkpoint.read(path)
    old = checkpoint.metadata["config"]
    new = {k: v for k, v in config.items() if k == "optimizer" or not isinstance(v, dict)}
    conditions = {
        name: {**kept, **_dropouts(config.get("conditions", {}).get(name, {}))}
        for name, kept in old.get("conditions", {}).items()
    }
    if conditions:
        new["conditions"] = conditions
    checkpoint.metadata["config"] = {**old, **new}
    module = load_module(cls, checkpoint)
    module.config = checkpoint.metadata["config"]
    return module.train()


def _dropouts(condition: dict[str, Any]) -> dict[str, Any]:
    """Return what a condition's configuration says about training alone."""
    return {key: condition[key] for key in ("dropout", "partial") if key in condition}
