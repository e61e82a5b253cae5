"""`LDMModule`: latent diffusion of crystals with conditions and classifier-free guidance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from crystal_ldm.config.numbers import short
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.padding import to_device
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module.diffusion import SamplerStep, diffusion_loss
from crystal_ldm.ldm_module.latent_model import LatentModel
from crystal_ldm.ldm_module.latents import LatentBatch
from crystal_ldm.nn.average import update_average
from crystal_ldm.nn.default_dtype import float32_default
from crystal_ldm.random import normal, torch_generator

if TYPE_CHECKING:
    from crystal_ldm.sampling.result import SampleResult


class LDMModule(LatentModel):
    """Latent diffusion of crystals (Rombach et al. 2022): training and sampling of a `LatentModel`,
    whose arguments it takes."""

    # Training

    def calculate_loss(
        self, batch: CrystalBatch | LatentBatch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return the denoising loss under `loss`, a mean over crystals.

        Args:
            batch: crystals, whose latents are computed now, or what `training_items` returned.
            generator: draws timesteps, noise and dropped conditions; None: seeded with `seed`.
        """
        generator = generator or torch_generator(self.seed)
        network = self.network if self.training else self.sampler_network
        if isinstance(batch, CrystalBatch):
            batch = self.training_items(batch)
        crystals, latents, mask = batch.crystals, batch.latents, batch.crystals.mask
        t = torch.randint(
            self.diffusion.timesteps,
            (len(batch),),
            generator=generator,
            device=generator.device,
        )
        noise = normal(latents.shape, generator).to(latents)
        x_t = self.diffusion.q_sample(latents, t, noise)
        known, encoded = network.drop(crystals.atomic_numbers, batch.encoded, generator)
        embedded = network.embed(known, encoded)
        rate = self.dropout if self.training else 0.0
        keep = network.denoiser.dropout_mask(len(batch), rate, generator)
        output = network(x_t, to_device(t, x_t.device), crystals.num_atoms, mask, embedded, keep)
        loss = diffusion_loss(self.diffusion, output.float(), latents, t, noise, mask)
        return {"loss": loss.mean()}

    def after_step(self, step: int) -> None:
        """Update the averaged weights."""
        super().after_step(step)
        update_average(self.ema, self.network, step)

    def train(self, mode: bool = True) -> LDMModule:
        """Switch the network's mode; VAE and averaged weights are always used as they are."""
        super().train(mode)
        self.vae.eval()
        self.ema.eval()
        return self

    # Sampling is the one hook upward: these methods hand the model to `crystal_ldm.sampling`, which
    # stands above `evaluate`, and are here since it is a model that one asks for crystals.

    @float32_default()
    def sample(
        self,
        batch: CrystalBatch | None = None,
        num_samples: int = 1,
        *,
        callback: Callable[[SamplerStep], None] | None = None,
        wanted: Callable[[int, int], bool] | Iterable[tuple[int, int]] | None = None,
        **settings: Any,
    ) -> SampleResult:
        """Generate `num_samples` crystals for each row of `batch`.

        Args:
            batch: requests (`CrystalBatch.from_formulas`, `from_num_atoms`), or crystals for the
                start `Crystal`; None: de novo, with numbers of atoms drawn as in the training set.
            num_samples: crystals a row.
            callback: called with a `SamplerStep` at each step (step, noise level, estimate of the
                clean latents); may raise `StopSampling`.
            wanted: called with row and number; crystals for which it is false are not made, and
                the others are what they would have been.
            settings: `preset` ("explore", "predict", "discover") and what is to be otherwise:
                sampler, sampling_steps, eta, temperature, cfg_scale, cfg_interval, start, elements,
                filters, attempts, seed, precision, device, batch_size, …; all of them are listed by
                `crystal_ldm.sampling.options()`.

        Returns:
            The crystals, row by row. A crystal depends on seed, row and number alone, whatever the
            batch size. An interrupt loses them: `iter_sample` hands out each finished batch, and
            `crystal_ldm.runs.generate` keeps it on disk.

        Raises:
            RequestError: for what the model was not trained for, naming what it can do.
        """
        from crystal_ldm.sampling.result import SampleResult

        batches = self.iter_sample(batch, num_samples, callback=callback, wanted=wanted, **settings)
        return SampleResult.of_batches(list(batches))

    def iter_sample(
        self,
        batch: CrystalBatch | None = None,
        num_samples: int = 1,
        *,
        callback: Callable[[SamplerStep], None] | None = None,
        wanted: Callable[[int, int], bool] | Iterable[tuple[int, int]] | None = None,
        **settings: Any,
    ) -> Iterator[SampleResult]:
        """Yield each finished batch of the crystals that `sample` returns; arguments as there."""
        from crystal_ldm.sampling.sample import iter_sample, place_order

        order = place_order(self, batch, num_samples, settings)
        return iter_sample(order, callback, wanted)

    @torch.inference_mode()
    def interpolate(
        self, first: CrystalBatch, second: CrystalBatch, steps: int = 8
    ) -> CrystalBatch:
        """Decode `steps` points on the straight line between the latents of two crystals.

        Raises:
            RequestError: unless each is one crystal and both have the same number of atoms.
        """
        ends: tuple[Any, Any] = (first, second)
        for end in ends:
            if not isinstance(end, CrystalBatch) or end.frac_coords is None or len(end) != 1:
                raise RequestError(
                    "Interpolation takes one crystal at each end: "
                    "CrystalBatch.from_structures([...])."
                )
        count: Any = steps
        if isinstance(count, bool) or not isinstance(count, int) or not 2 <= count <= 10_000:
            raise RequestError(f"Interpolation needs 2 to 10000 steps, not {short(steps)}.")
        if int(first.num_atoms) != int(second.num_atoms):
            raise RequestError(
                f"Interpolation needs as many atoms at both ends; {first.formulas[0]} has "
                f"{int(first.num_atoms)} in its cell, {second.formulas[0]} {int(second.num_atoms)}."
            )
        start, end_latents = self.vae.encode(first), self.vae.encode(second)
        weights = torch.linspace(0, 1, steps).view(-1, 1, 1)
        numbers = first.atomic_numbers
        known = (
            numbers if bool((numbers == second.atomic_numbers).all()) else torch.zeros_like(numbers)
        )
        return self.vae.decode(
            (1 - weights) * start + weights * end_latents,
            first.num_atoms.expand(steps),
            known.expand(steps, -1),
        )
