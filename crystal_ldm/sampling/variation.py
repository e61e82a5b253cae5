"""Neighbours of a crystal, and paths between two, through the latent space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import RequestError
from crystal_ldm.sampling.batches import sample_batches
from crystal_ldm.sampling.options import SamplingOptions
from crystal_ldm.sampling.result import SampleResult

if TYPE_CHECKING:
    from crystal_ldm.ldm_module.ldm_module import LDMModule


def vary(
    ldm: LDMModule,
    crystals: CrystalBatch,
    strength: float,
    num_samples: int,
    keep_elements: bool,
    options: dict[str, Any],
) -> SampleResult:
    """See `LDMModule.vary` (Meng et al., SDEdit, 2022)."""
    made = SamplingOptions.make(options)
    timesteps = ldm.diffusion.sampling_timesteps(made.sampling_steps, strength=strength)
    ldm.vae.check(crystals)
    with torch.inference_mode():
        latents = ldm.training_latents(crystals)
    numbers = (
        crystals.atomic_numbers if keep_elements else torch.zeros_like(crystals.atomic_numbers)
    )
    conditions = {
        n: v for n, v in crystals.conditions.items() if n in ldm.sampler_network.properties
    }
    request = CrystalBatch(numbers, crystals.num_atoms, conditions=conditions)
    batches = list(sample_batches(ldm, request, num_samples, made, start=(latents, timesteps)))
    return SampleResult.cat(batches).in_order()


@torch.inference_mode()
def interpolate(
    ldm: LDMModule, first: CrystalBatch, second: CrystalBatch, steps: int
) -> CrystalBatch:
    """See `LDMModule.interpolate`."""
    if len(first) != 1 or len(second) != 1:
        raise RequestError("Interpolation takes one crystal at each end.")
    if int(first.num_atoms) != int(second.num_atoms):
        raise RequestError(
            f"Interpolation needs as many atoms at both ends; {first.formulas[0]} has "
            f"{int(first.num_atoms)} in its cell, {second.formulas[0]} {int(second.num_atoms)}."
        )
    if steps < 2:
        raise RequestError(f"Interpolation needs at least 2 steps, not {steps!r}.")
    start, end = ldm.vae.encode(first), ldm.vae.encode(second)
    weights = torch.linspace(0, 1, steps).view(-1, 1, 1)
    numbers = first.atomic_numbers
    known = numbers if bool((numbers == second.atomic_numbers).all()) else torch.zeros_like(numbers)
    return ldm.vae.decode(
        (1 - weights) * start + weights * end,
        first.num_atoms.expand(steps),
        known.expand(steps, -1),
    )
