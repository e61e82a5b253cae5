"""From latents to crystals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.ldm_module.diffusion import SamplerStep
from crystal_ldm.sampling.result import TrajectoryFrame

if TYPE_CHECKING:
    from crystal_ldm.ldm_module.ldm_module import LDMModule


def decode_latents(
    ldm: LDMModule, x: Tensor, request: CrystalBatch, allowed: Tensor
) -> tuple[CrystalBatch, Tensor]:
    """Return crystals for standardised latents (B, N, D), and the decoder's agreement (B,).

    Open atoms get the element that the decoder likes best among the allowed ones; then the whole
    crystal is decoded with all elements known. The agreement is the share of requested elements
    that the decoder, not told of them, finds in the latents (see `SampleResult`).
    """
    vae, known = ldm.vae, request.atomic_numbers
    latents = x.float() * ldm.latent_std + ldm.latent_mean
    blind = vae.decoder_output(latents, request.num_atoms, torch.zeros_like(known))
    own = vae.choose_elements(blind.element_logits)
    requested = known > 0
    agreement = ((own == known) & requested).sum(dim=1) / requested.sum(dim=1)
    if bool((requested | ~request.mask).all()):
        elements = known
    else:
        informed = vae.decoder_output(latents, request.num_atoms, known)
        chosen = vae.choose_elements(informed.element_logits, allowed)
        elements = torch.where(requested, known, chosen) * request.mask
    return vae.decode(latents, request.num_atoms, elements), agreement


def decode_step(
    ldm: LDMModule, request: CrystalBatch, asked: Tensor, allowed: Tensor, step: SamplerStep
) -> TrajectoryFrame:
    """Return what the decoder makes of a step; atoms that the model filled in itself are shown as
    the latents have them, up to the last step."""
    vae, known = ldm.vae, request.atomic_numbers
    if step.step < step.num_steps - 1:
        known = asked
    latents = step.x0.float() * ldm.latent_std + ldm.latent_mean
    output = vae.decoder_output(latents, request.num_atoms, known)
    crystals = vae.to_crystals(output, request.num_atoms, known, allowed)
    probability = output.element_logits.masked_fill(~allowed.unsqueeze(1), -torch.inf).softmax(-1)
    confidence = probability.gather(-1, crystals.atomic_numbers.unsqueeze(-1)).squeeze(-1)
    mask = request.mask.unsqueeze(-1)
    squares = (step.noise.float().square() * mask).sum(dim=(1, 2))
    rms = (squares / (request.num_atoms * step.noise.shape[-1])).sqrt()
    return TrajectoryFrame(
        step=step.step,
        num_steps=step.num_steps,
        noise_level=torch.full((len(crystals),), step.noise_level),
        crystals=crystals.to("cpu"),
        element_confidence=(confidence * request.mask).cpu(),
        predicted_noise_rms=rms.cpu(),
    )
