"""Models from models: what a training starts with, new or trained before, and means of several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from crystal_ldm.config import instantiate, target_class
from crystal_ldm.errors import ConfigError
from crystal_ldm.files import resolve_path
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.added_conditions import add_conditions
from crystal_ldm.nn.checkpoints import Checkpoint, load_module, save_safetensors
from crystal_ldm.pretrained import available, load_model, model_file
from crystal_ldm.vae_module import VAEModule

ADAPTER = 32
"""Rank of the layers through which an added condition acts."""
FREQUENCIES = 6
"""Of an added number's embedding: with wavelengths of less than six standard deviations, as a model
that is trained from nothing has them, 60 crystals are learnt by heart one by one."""


def build_module(
    config: dict[str, Any],
    key: str,
    vae_ckpt: str | Path | None = None,
    init_from: str | Path | None = None,
) -> Any:
    """Build the module to train: new, or with the weights of `init_from`.

    First weights are drawn from the configuration's seed. With `init_from` architecture, conditions
    and weights are that model's, and conditions that it lacks are added to it (see
    `added_conditions`); given both, an LDM starts with the weights of `init_from` and the VAE of
    `vae_ckpt`, which may be that of a trained LDM.

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
    added = {n: _added(c) for n, c in wanted.items() if n not in conditions}
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
        add_conditions(module, {n: instantiate(c) for n, c in added.items()})
    module.config = checkpoint.metadata["config"]
    return module.train()


def _added(condition: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a condition that is added to a trained model."""
    smooth = {"frequencies": FREQUENCIES} if condition["_target_"] == "ScalarCondition" else {}
    return {"adapter": ADAPTER, **smooth, **condition}


def _dropouts(condition: dict[str, Any]) -> dict[str, Any]:
    """Return what a condition's configuration says about training alone."""
    return {key: condition[key] for key in ("dropout", "partial") if key in condition}


def average_models(models: Sequence[str | Path], path: str | Path) -> None:
    """Write an LDM whose denoiser is the mean of those of `models` (Wortsman et al. 2022).

    Trainings that started from the same weights end in one valley of the loss, and its middle is
    often better than either end. VAE, composition model and training crystals are those of the last
    model.

    Args:
        models: shipped names, `model.safetensors` files or checkpoints of LDMs.
        path: the safetensors file to write, in half precision.

    Raises:
        CheckpointError: if a model cannot be read.
        ConfigError: if there are fewer than two, or they differ in architecture or latents.
    """
    if len(models) < 2:
        raise ConfigError("A mean of weights needs at least two models.")
    ldms = [load_model(str(model)) for model in models]
    last = ldms[-1]
    states = [ldm.sampler_network.state_dict() for ldm in ldms]
    for model, ldm, state in zip(models, ldms, states, strict=True):
        if {n: t.shape for n, t in state.items()} != {n: t.shape for n, t in states[-1].items()}:
            raise ConfigError(
                f"{model} has another architecture than {models[-1]}: their weights have no mean."
            )
        if not ldm.vae.has_encoder_of(last.vae):
            raise ConfigError(
                f"{model} has another VAE than {models[-1]}: their denoisers see other latents."
            )
    mean = {
        name: torch.stack([state[name] for state in states]).mean(dim=0)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in states[-1].items()
    }
    last.sampler_network.load_state_dict(mean)
    save_safetensors(last, path)
