"""Parts of a model that do not go together are refused."""

from __future__ import annotations

from crystal_ldm.errors import ConfigError
from crystal_ldm.ldm_module.composition_model import CompositionModel
from crystal_ldm.ldm_module.denoisers import DiT
from crystal_ldm.ldm_module.diffusion import GaussianDiffusion
from crystal_ldm.ldm_module.network import ConditionedDenoiser
from crystal_ldm.vae_module import VAEModule


def check_sizes(vae: VAEModule, denoiser: DiT, diffusion: GaussianDiffusion) -> None:
    """Raise `ConfigError` unless VAE, denoiser and diffusion agree on the size of a latent."""
    wanted = {
        "latent_dim": (denoiser.input.in_features, vae.latent_dim),
        "output_dim": (denoiser.output.out_features, diffusion.output_dim(vae.latent_dim)),
    }
    for name, (has, needs) in wanted.items():
        if has != needs:
            raise ConfigError(
                f"The denoiser's {name} is {has} and must be {needs}: the VAE's latents have "
                f"{vae.latent_dim} components and the variance is {diffusion.variance}. "
                f"Set ldm_module.denoiser.{name}={needs}."
            )


def check_composition_model(
    model: CompositionModel, network: ConditionedDenoiser, max_atoms: int
) -> None:
    """Raise `ConfigError` unless a composition model fits a denoiser's conditions and sizes."""
    if network.composition is None:
        raise ConfigError(
            "A composition model needs a denoiser that knows compositions: add the condition "
            "`composition: {_target_: Composition}`, or leave out `composition_model`."
        )
    if model.max_atoms < max_atoms:
        raise ConfigError(
            f"The composition model's max_atoms is {model.max_atoms}, fewer than the model's "
            f"{max_atoms}: set ldm_module.composition_model.max_atoms={max_atoms}."
        )
