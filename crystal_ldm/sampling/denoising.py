"""One batch of crystals: open elements, noise or a template, guided denoising, decoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.distances import shortest_distances
from crystal_ldm.crystals.padding import take
from crystal_ldm.ldm_module.composition_model.requests import Unwanted, draw_elements
from crystal_ldm.ldm_module.condition.base import given_names
from crystal_ldm.ldm_module.diffusion import ModelPrediction, SamplerStep, get_sampler
from crystal_ldm.ldm_module.guidance import GuidedDenoiser, scale_of_each
from crystal_ldm.nn.compile import compiled
from crystal_ldm.sampling.decoding import decode_latents, decode_step
from crystal_ldm.sampling.options import SamplingOptions
from crystal_ldm.sampling.plan import Draft, allowed_elements, noise_for, stack_targets
from crystal_ldm.sampling.prototypes.latents import template_latents
from crystal_ldm.sampling.result import SampleResult, TrajectoryFrame
from crystal_ldm.sampling.screening import new_crystals, on_target

if TYPE_CHECKING:
    from crystal_ldm.ldm_module.ldm_module import LDMModule

Callback = Callable[[SamplerStep], None] | None
Start = tuple[Tensor, list[int]]
"""Latents (M, N, D) of each crystal to start from, and the timesteps that are left."""


@dataclass
class _Job:
    """Crystals that start alike.

    Attributes:
        drafts: what to make.
        request: the same as a batch, with all elements that are known by now.
        asked: (B, N) elements that the user asked for.
        allowed: (B, 119) bool, what open atoms may become.
        encoded: encoded conditions by name.
        scales: guidance scales by condition.
        start: where to start; None: from noise.
        turns: (B,) how many attempts start elsewhere even without noise.
    """

    drafts: Sequence[Draft]
    request: CrystalBatch
    asked: Tensor
    allowed: Tensor
    encoded: dict[str, Tensor]
    scales: dict[str, float]
    start: Start | None = None
    turns: Tensor | None = None

    def part(self, rows: Tensor, start: Start | None, turns: Tensor | None) -> _Job:
        """Return some of the crystals, which start elsewhere."""
        here = rows.to(self.asked.device)
        request = self.request[rows]
        return _Job(
            take(list(self.drafts), rows),
            request,
            self.asked[here, : request.atomic_numbers.shape[1]],
            self.allowed[here],
            {name: values[here] for name, values in self.encoded.items()},
            self.scales,
            start,
            turns,
        )


@torch.inference_mode()
def make_crystals(
    ldm: LDMModule,
    drafts: Sequence[Draft],
    options: SamplingOptions,
    recipe: dict[str, Any],
    callback: Callback,
    start: Start | None,
) -> SampleResult:
    """Make the crystals of one batch, each once.

    Args:
        ldm: the model.
        drafts: what to make.
        options: how.
        recipe: kept with the result.
        callback: called at each step; twice where only some of the crystals have a template.
        start: of `LDMModule.vary`: where each row's crystals start.
    """
    job = _with_elements(ldm, drafts, options, start)
    if start is not None:
        rows = torch.tensor([draft.row for draft in drafts])
        origin, timesteps = start
        job.start = origin[rows, : job.asked.shape[1]], timesteps
        return _make(ldm, job, options, recipe, callback)
    if options.template_strength == 0:
        return _make(ldm, job, options, recipe, callback)
    ranks = [options.template_rank(draft.number, draft.attempt) for draft in drafts]
    offer = template_latents(ldm, [draft.known for draft in drafts], ranks, options.templates)
    timesteps = ldm.diffusion.sampling_timesteps(
        options.sampling_steps, strength=options.template_strength
    )
    without = torch.ones(len(drafts), dtype=torch.bool)
    without[offer.rows] = False
    others = without.nonzero().flatten()
    parts = []
    if len(offer.rows):
        parts.append(job.part(offer.rows, (offer.latents, timesteps), offer.turns))
    if len(others):
        parts.append(job.part(others, None, None))
    made = SampleResult.cat([_make(ldm, part, options, recipe, callback) for part in parts])
    return made[torch.cat([offer.rows, others]).argsort()]


def _with_elements(
    ldm: LDMModule, drafts: Sequence[Draft], options: SamplingOptions, start: Start | None
) -> _Job:
    """Return the drafts as a job, with the elements that a composition prior draws."""
    device = ldm.latent_mean.device
    sizes = torch.tensor([len(draft.known) for draft in drafts])
    known = torch.zeros(len(drafts), int(sizes.max()), dtype=torch.long)
    for row, draft in zip(known, drafts, strict=True):
        row[: len(draft.known)] = torch.from_numpy(draft.known)
    targets = stack_targets(drafts)
    request = CrystalBatch(known, sizes, conditions=targets).to(device)
    allowed = allowed_elements(drafts, ldm.element_mask()).to(device)
    network = ldm.sampler_network
    encoded = network.encode(request)
    names = list(ldm.conditions)
    scales = dict(zip(names, scale_of_each(options.cfg_scale, names), strict=True))
    asked = request.atomic_numbers
    if ldm.prior is not None and start is None and bool(((asked == 0) & request.mask).any()):
        drawn, asked = draw_elements(
            ldm.prior, drafts, request, allowed, encoded, scales,
            options.composition_temperature, _unwanted(ldm, options),
        )  # fmt: skip
        request = CrystalBatch(drawn, sizes, conditions=targets).to(device)
        # Elements that nobody asked for are no condition to be left out: the latents must have them
        # for the crystal to make sense, whatever the scale.
        scales |= {n: max(1.0, s) for n, s in scales.items() if n not in network.properties}
    return _Job(drafts, request, asked, allowed, encoded, scales)


def _unwanted(ldm: LDMModule, options: SamplingOptions) -> Unwanted | None:
    """Return what tells the compositions that options rule out; None if they rule out none."""
    farthest = options.relative_distance
    if not options.new_formulas and farthest == 0:
        return None

    def unwanted(numbers: NDArray[np.int64]) -> bool:
        if ldm.known.rows_of(torch.from_numpy(numbers)[None])[0]:
            return options.new_formulas
        if farthest == 0:
            return False
        nearest = ldm.known.search.nearest(numbers, 1)
        return not nearest or nearest[0].distance > farthest

    return unwanted


def _make(
    ldm: LDMModule,
    job: _Job,
    options: SamplingOptions,
    recipe: dict[str, Any],
    callback: Callback,
) -> SampleResult:
    """Denoise and decode the crystals of a job."""
    frames: list[TrajectoryFrame] = []

    def report(step: SamplerStep) -> None:
        if options.trajectory:
            frames.append(decode_step(ldm, job.request, job.asked, job.allowed, step))
        if callback is not None:
            callback(step)

    latents = _denoise(ldm, job, options, report)
    crystals, agreement = decode_latents(ldm, latents, job.request, job.allowed)
    crystals = crystals.to("cpu")
    crystals.conditions = job.request.to("cpu").conditions
    drafts, known = job.drafts, not ldm.known.empty
    sound = shortest_distances(crystals) >= options.min_distance
    same_formula = ldm.known.rows_of(crystals.atomic_numbers)
    return SampleResult(
        crystals=crystals,
        row=torch.tensor([draft.row for draft in drafts]),
        number=torch.tensor([draft.number for draft in drafts]),
        seed=options.seed,
        recipe=recipe,
        element_agreement=agreement.cpu(),
        attempts=torch.ones(len(drafts), dtype=torch.long),
        imposed=torch.zeros(len(drafts), dtype=torch.bool),
        sound=sound,
        on_target=on_target(crystals, options.band_gap_tolerance),
        new_formula=torch.tensor([known and not rows for rows in same_formula]),
        new_crystal=new_crystals(ldm, crystals, same_formula, sound & options.new_crystals),
        trajectory=frames if options.trajectory else None,
    )


def _denoise(
    ldm: LDMModule, job: _Job, options: SamplingOptions, report: Callable[[SamplerStep], None]
) -> Tensor:
    """Return standardised latents (B, N, D)."""
    request, drafts = job.request, job.drafts
    width, dim = request.atomic_numbers.shape[1], ldm.vae.latent_dim
    given = _given(ldm, request.atomic_numbers, job.encoded)
    model = GuidedDenoiser(
        ldm.sampler_network,
        request.atomic_numbers,
        job.encoded,
        request.num_atoms,
        request.mask,
        given,
        [job.scales[name] for name in given],
    )
    last_timestep = max(ldm.diffusion.timesteps - 1, 1)
    low, high = options.cfg_interval
    bfloat16 = options.precision == "bfloat16"

    def denoise(x: Tensor, t: int) -> ModelPrediction:
        guided = low <= t / last_timestep <= high
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16):
            output = model(x, t, guided)
        return ldm.diffusion.predict(output.float(), x, t)

    # Without noise a crystal that has to be made again would come out as it was, unless there is
    # another template to start from.
    attempts = torch.tensor([draft.attempt for draft in drafts])
    again = attempts >= (1 if job.turns is None else job.turns)
    temperature = torch.where(again & (options.temperature == 0), 1.0, options.temperature)

    def noise(x: Tensor) -> Tensor:
        return (temperature[:, None, None] * noise_for(drafts, width, dim)).to(x)

    x = noise(torch.zeros((), device=request.num_atoms.device))
    timesteps = ldm.diffusion.sampling_timesteps(options.sampling_steps)
    if job.start is not None:
        origin, timesteps = job.start
        x = ldm.diffusion.q_sample(origin.to(x), timesteps[0], x)
    run = get_sampler(options.sampler)
    with compiled(ldm.sampler_network, options.compile):
        return run(
            denoise, x, ldm.diffusion, timesteps, noise=noise, eta=options.eta, callback=report
        )


def _given(ldm: LDMModule, atomic_numbers: Tensor, encoded: dict[str, Tensor]) -> list[str]:
    """Return the conditions that at least one crystal of the batch gives, in guidance's order."""
    given = given_names(encoded)
    composition = ldm.sampler_network.composition
    if composition is not None and bool((atomic_numbers > 0).any()):
        given.append(composition.name)
    return [name for name in ldm.conditions if name in given]
