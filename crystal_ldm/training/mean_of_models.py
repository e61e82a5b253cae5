"""The mean of the weights of several trainings that started from one model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from crystal_ldm.errors import ConfigError
from crystal_ldm.nn.checkpoints import save_safetensors


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
    from crystal_ldm.pretrained import load_model

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
