"""One batch of crystals: elements of open atoms, a start, guided denoising, decoding, filters."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.padding import take
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.composition_model import CompositionModel
from crystal_ldm.ldm_module.condition.base import given_names
from crystal_ldm.ldm_module.diffusion import SAMPLERS, ModelPrediction, SamplerStep
from crystal_ldm.ldm_module.guidance import GuidedDenoiser, scale_of_each
from crystal_ldm.nn.compile import compiled
from crystal_ldm.sampling.filters.base import passed_filters
from crystal_ldm.sampling.open_elements import draw_elements, unwanted_formulas
from crystal_ldm.sampling.plan import Draft, Plan, allowed_elements, noise_for, stack_targets
from crystal_ldm.sampling.result import SampleResult, TrajectoryFrame
from crystal_ldm.sampling.settings import SamplingSettings
from crystal_ldm.sampling.space_groups import groups_of, symmetrised
from crystal_ldm.sampling.starts import Origin
from crystal_ldm.sampling.starts.base import Latents

Callback = Callable[[SamplerStep], None] | None


@dataclass(frozen=True)
class Order:
    """A request that was checked: all that its crystals depend on.

    Attributes:
        ldm: the model.
        plan: which crystals.
        settings: how.
        origin: where they start.
        recipe: what makes them again.
        precision: `float32` or `bfloat16`.
    """

    ldm: LDMModule
    plan: Plan
    settings: SamplingSettings
    origin: Origin
    recipe: dict[str, Any]
    precision: str


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
        start: where they start; None: in noise.
    """

    drafts: Sequence[Draft]
    request: CrystalBatch
    asked: Tensor
    allowed: Tensor
    encoded: dict[str, Tensor]
    scales: dict[str, float]
    start: Latents | None = None

    def part(self, rows: Tensor, start: Latents | None) -> _Job:
        """Return some of the crystals, and where they start."""
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
        )


@dataclass
class Denoising:
    """Makes the batches of an order.

    Attributes:
        order: what is made.
        callback: called at each step; twice where only some of a batch start elsewhere.
    """

    order: Order
    callback: Callback

    @cached_property
    def _composition_model(self) -> CompositionModel:
        assert self.order.ldm.composition_model is not None
        return copy.deepcopy(self.order.ldm.composition_model).cpu().double()

    @torch.inference_mode()
    def make(self, drafts: Sequence[Draft]) -> SampleResult:
        """Make the crystals of one batch, each once."""
        job = self._with_elements(drafts)
        start = self.order.origin.latents(drafts)
        if start is None:
            return self._finish(job)
        others = torch.ones(len(drafts), dtype=torch.bool)
        others[start.rows] = False
        from_noise = others.nonzero().flatten()
        parts = [job.part(start.rows, start)]
        if len(from_noise):
            parts.append(job.part(from_noise, None))
        result = SampleResult.cat([self._finish(part) for part in parts])
        return result[torch.cat([start.rows, from_noise]).argsort()]

    def _with_elements(self, drafts: Sequence[Draft]) -> _Job:
        """Return the drafts as a job, with the elements that the composition model draws."""
        ldm, settings = self.order.ldm, self.order.settings
        device = ldm.latent_mean.device
        sizes = torch.tensor([len(draft.atomic_numbers) for draft in drafts])
        known = torch.zeros(len(drafts), int(sizes.max()), dtype=torch.long)
        for row, draft in zip(known, drafts, strict=True):
            row[: len(draft.atomic_numbers)] = torch.from_numpy(draft.atomic_numbers)
        targets = stack_targets(drafts)
        request = CrystalBatch(known, sizes, conditions=targets).to(device)
        allowed = allowed_elements(drafts, ldm.element_mask()).to(device)
        network = ldm.sampler_network
        encoded = network.encode(request)
        scales = scale_of_each(settings.guidance.scale, list(ldm.conditions))
        asked = request.atomic_numbers
        is_open = bool(((asked == 0) & request.mask).any())
        if ldm.composition_model is not None and settings.start.draws_elements and is_open:
            drawn, asked = draw_elements(
                self._composition_model, drafts, request, allowed, encoded, scales,
                settings.elements.temperature, unwanted_formulas(ldm, settings.elements),
            )  # fmt: skip
            request = CrystalBatch(drawn, sizes, conditions=targets).to(device)
            # Elements that nobody asked for are no condition to be left out: the latents must have
            # them for the crystal to make sense, whatever the scale.
            scales |= {n: max(1.0, s) for n, s in scales.items() if n not in network.properties}
        return _Job(drafts, request, asked, allowed, encoded, scales)

    def _finish(self, job: _Job) -> SampleResult:
        """Denoise, decode and test the crystals of a job."""
        ldm, settings = self.order.ldm, self.order.settings
        frames: list[TrajectoryFrame] = []

        def report(step: SamplerStep) -> None:
            if settings.trajectory:
                frame = _frame(ldm, job.request, job.asked, job.allowed, step)
                placed = self.order.origin.place(job.drafts, frame.crystals)
                confidence = frame.element_confidence.gather(1, placed.order)
                frames.append(replace(frame, crystals=placed.final, element_confidence=confidence))
            if self.callback is not None:
                self.callback(step)

        latents = self._denoise(job, report)
        crystals, agreement = _decode(ldm, latents, job.request, job.allowed)
        groups = groups_of(job.drafts, settings.filters)
        crystals, displacement = symmetrised(crystals.to("cpu"), groups)
        crystals.conditions = job.request.to("cpu").conditions
        drafts, has_training_set = job.drafts, not ldm.training_crystals.empty
        same_formula = ldm.training_crystals.rows_of(crystals.atomic_numbers)
        placed = self.order.origin.place(drafts, crystals)
        held = ~placed.displacement.isnan()
        return SampleResult(
            crystals=placed.final,
            row=torch.tensor([draft.row for draft in drafts]),
            number=torch.tensor([draft.number for draft in drafts]),
            seed=settings.seed,
            recipe=self.order.recipe,
            element_agreement=agreement.cpu(),
            attempts=torch.ones(len(drafts), dtype=torch.long),
            imposed=torch.zeros(len(drafts), dtype=torch.bool),
            new_formula=torch.tensor([has_training_set and not rows for rows in same_formula]),
            passed=placed.passed | passed_filters(ldm, settings.filters, placed.crystals),
            displacement=torch.where(held, placed.displacement, displacement),
            trajectory=frames if settings.trajectory else None,
        )

    def _denoise(self, job: _Job, report: Callable[[SamplerStep], None]) -> Tensor:
        """Return standardised latents (B, N, D)."""
        ldm, settings = self.order.ldm, self.order.settings
        solver, guidance = settings.solver, settings.guidance
        request, drafts = job.request, job.drafts
        width, dim = request.atomic_numbers.shape[1], ldm.vae.latent_dim
        given_conditions = _given(ldm, request.atomic_numbers, job.encoded)
        model = GuidedDenoiser(
            ldm.sampler_network,
            request.atomic_numbers,
            job.encoded,
            request.num_atoms,
            request.mask,
            given_conditions,
            [job.scales[name] for name in given_conditions],
        )
        last_timestep = max(ldm.diffusion.timesteps - 1, 1)
        low, high = guidance.interval
        bfloat16 = self.order.precision == "bfloat16"

        timesteps = ldm.diffusion.sampling_timesteps(solver.steps)
        if job.start is not None:
            timesteps = self.order.origin.timesteps

        def denoise(x: Tensor, t: int) -> ModelPrediction:
            guided = low <= t / last_timestep <= high
            with torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16):
                output = model(x, t, guided)
            prediction = ldm.diffusion.predict(output.float(), x, t)
            last = t == timesteps[-1]
            x0 = self.order.origin.hold(drafts, request, job.allowed, prediction.x0, last)
            if x0 is prediction.x0:
                return prediction
            return ldm.diffusion.with_x0(prediction, x0, x, t)

        # Without noise a crystal that has to be made again would come out as it was, unless there
        # is another place to start from.
        attempts = torch.tensor([draft.attempt for draft in drafts])
        again = attempts >= (1 if job.start is None else job.start.turns)
        temperature = torch.where(again & (solver.temperature == 0), 1.0, solver.temperature)

        def noise(x: Tensor) -> Tensor:
            return (temperature[:, None, None] * noise_for(drafts, width, dim)).to(x)

        x = noise(torch.zeros((), device=request.num_atoms.device))
        if job.start is not None:
            x = ldm.diffusion.q_sample(job.start.latents.to(x), timesteps[0], x)
        with compiled(ldm.sampler_network, settings.compute.compile):
            return SAMPLERS[solver.name](
                denoise, x, ldm.diffusion, timesteps, noise=noise, eta=solver.eta, callback=report
            )


def _given(ldm: LDMModule, atomic_numbers: Tensor, encoded: dict[str, Tensor]) -> list[str]:
    """Return the conditions that at least one crystal of the batch gives, in guidance's order."""
    names = given_names(encoded)
    composition = ldm.sampler_network.composition
    if composition is not None and bool((atomic_numbers > 0).any()):
        names.append(composition.name)
    return [name for name in ldm.conditions if name in names]


def _decode(
    ldm: LDMModule, x: Tensor, request: CrystalBatch, allowed: Tensor
) -> tuple[CrystalBatch, Tensor]:
    """Return crystals for standardised latents (B, N, D), and the decoder's agreement (B,).

    Open atoms get the element that the decoder likes best among the allowed ones; then the whole
    crystal is decoded with all elements known. The agreement is the share of requested elements
    that the decoder, not told of them, finds in the latents (see `SampleResult`).
    """
    vae, known = ldm.vae, request.atomic_numbers
    latents = ldm.vae_latents(x)
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


def _frame(
    ldm: LDMModule, request: CrystalBatch, asked: Tensor, allowed: Tensor, step: SamplerStep
) -> TrajectoryFrame:
    """Return what the decoder makes of a step; atoms that the model filled in itself are shown as
    the latents have them, up to the last step."""
    vae, known = ldm.vae, request.atomic_numbers
    if step.step < step.num_steps - 1:
        known = asked
    latents = ldm.vae_latents(step.x0)
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
