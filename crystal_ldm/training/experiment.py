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
    """Return the module of a checkpoint: its architecture, and the new experiment's numbers.

    Conditions that it does not have yet are added, with embeddings that are 0: the model is the old
    one until it has learnt them. They alone are trained, unless `train_only` says otherwise.
    """
    checkpoint = Checkpoint.read(path)
    old = checkpoint.metadata["config"]
    new = {k: v for k, v in config.items() if k == "optimizer" or not isinstance(v, dict)}
    asked, kept = config.get("conditions") or {}, old.get("conditions") or {}
    added = [name for name in asked if name not in kept]
    for name in asked:
        if name in kept:
            _check_same(name, kept[name], asked[name], path)
    conditions = {name: {**one, **_dropouts(asked.get(name, {}))} for name, one in kept.items()}
    conditions |= {name: asked[name] for name in added}
    if conditions:
        new["conditions"] = conditions
    if added:
        new.setdefault("train_only", added)
        # The average of a short training must not reach back to where it began.
        steps = config.get("optimizer", {}).get("max_steps", 20_000)
        new["ema_decay"] = min(config.get("ema_decay", 0.9995), max(1 - 10 / steps, 0.0))
    old = {key: value for key, value in old.items() if key != "train_only"}
    checkpoint.metadata["config"] = {**old, **new}
    if added:
        untrained = instantiate(checkpoint.metadata["config"])
        untrained.start_at_zero(added)
        whole = any(name.startswith("network.") for name in checkpoint.state)
        fresh = (untrained.state_dict() if whole else untrained.export_state()).items()
        places = tuple(f"conditions.{name}." for name in added)
        checkpoint.state |= {n: t for n, t in fresh if any(place in n for place in places)}
    module = load_module(cls, checkpoint)
    module.config = checkpoint.metadata["config"]
    module.new_conditions = tuple(added)
    return module.train()


def _check_same(name: str, kept: dict[str, Any], asked: dict[str, Any], path: str | Path) -> None:
    """Raise `ConfigError` if a condition is to be another one than the model has."""
    default = {"label": name, "unit": kept.get("unit", "")}
    for key in ("_target_", "label", "unit", "options"):
        before, now = ({**default, **one}.get(key) for one in (kept, asked))
        if before != now:
            raise ConfigError(
                f"'{path}' has a condition '{name}' with {key} {before!r}, and the experiment has "
                f"{now!r}: call the new one by another name."
            )


def _dropouts(condition: dict[str, Any]) -> dict[str, Any]:
    """Return what a condition's configuration says about training alone."""
    return {key: condition[key] for key in ("dropout", "partial") if key in condition}
