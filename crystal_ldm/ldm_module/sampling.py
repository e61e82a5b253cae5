"""From a request to crystals: drafts, noise, guided denoising, decoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from crystal_ldm.compiling import compiled
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.distances import shortest_distances
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module.checks import check_new_formulas, check_request
from crystal_ldm.ldm_module.condition.base import given_names
from crystal_ldm.ldm_module.diffusion import (
    ModelPrediction,
    SamplerStep,
    StopSampling,
    get_sampler,
)
from crystal_ldm.ldm_module.guidance import GuidedDenoiser, scale_of_each
from crystal_ldm.ldm_module.options import SamplingOptions
from crystal_ldm.ldm_module.plan import (
    Draft,
    Plan,
    allowed_elements,
    noise_for,
    stack_targets,
)
from crystal_ldm.ldm_module.prior.requests import draw_elements
from crystal_ldm.ldm_module.remaking import make_until_right
from crystal_ldm.ldm_module.result import SampleResult, TrajectoryFrame
from crystal_ldm.ldm_module.screening import check_screening, on_target
from crystal_ldm.recipe import make_recipe

if TYPE_CHECKING:
    from crystal_ldm.ldm_module.ldm_module import LDMModule

Callback = Callable[[SamplerStep], None] | None
Wanted = Callable[[int, int], bool] | None
Start = tuple[Tensor, list[int]]
"""Latents (M, N, D) of each crystal to start from, and the timesteps that are left."""


def sample_batches(
    ldm: LDMModule,
    request: CrystalBatch | None,
    num_samples: Any,
    options: SamplingOptions,
    callback: Callback = None,
    start: Start | None = None,
    wanted: Wanted = None,
) -> Iterator[SampleResult]:
    """Yield each finished batch; see `LDMModule.iter_sample`.

    With `start` the crystals of row i begin at latents i, noised to the first of the timesteps.
    """
    if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples < 1:
        raise RequestError(
            f"num_samples must be a whole number of at least 1, not {num_samples!r}."
        )
    if request is not None:
        request = request.to("cpu")
    check_request(ldm, request)
    check_screening(ldm, options.band_gap_tolerance)
    if options.new_formulas:
        check_new_formulas(ldm, request, varied=start is not None)
    scale_of_each(options.cfg_scale, list(ldm.conditions))
    plan = Plan(request, num_samples, options.offset, options.seed, ldm.num_atoms_histogram)
    recipe = make_recipe(
        model=ldm.source,
        model_hash=ldm.model_hash,
        request=None if request is None else request.to_request(),
        sampling={"num_samples": num_samples, **options.to_dict()},
        data_hash=ldm.data_info.get("content_hash", ""),
    )
    places = [p for p in plan.places() if wanted is None or wanted(*p)]
    return _generate(ldm, plan, places, options, recipe, callback, start)


def _generate(
    ldm: LDMModule,
    plan: Plan,
    places: Sequence[tuple[int, int]],
    options: SamplingOptions,
    recipe: dict[str, Any],
    callback: Callback,
    start: Start | None,
) -> Iterator[SampleResult]:
    def make(drafts: list[Draft]) -> SampleResult:
        return _denoise(ldm, drafts, options, recipe, callback, start)

    drafts = [plan.draft(row, number) for row, number in places]
    # Crystals of similar size share a batch: little padding. Each knows its place in the request.
    # Those whose elements the model draws itself are guided by them differently: see `_denoise`.
    drafts.sort(key=lambda draft: (_is_open(draft), len(draft.known)))
    width = ldm.sampler_network.denoiser.hidden_size
    while drafts:
        size = options.crystals_in_batch(len(drafts[0].known), width)
        largest = drafts[min(size, len(drafts)) - 1]
        size = min(size, options.crystals_in_batch(len(largest.known), width))
        size = sum(_is_open(draft) == _is_open(drafts[0]) for draft in drafts[:size])
        batch, drafts = drafts[:size], drafts[size:]
        try:
            yield make_until_right(make, batch, plan, options, ldm.prior is not None)
        except StopSampling:
            return


def _is_open(draft: Draft) -> bool:
    return bool((draft.known == 0).any())


@torch.inference_mode()
def _denoise(
    ldm: LDMModule,
    drafts: Sequence[Draft],
    options: SamplingOptions,
    recipe: dict[str, Any],
    callback: Callback,
    start: Start | None,
) -> SampleResult:
    device = ldm.latent_mean.device
    sizes = torch.tensor([len(draft.known) for draft in drafts])
    width, dim = int(sizes.max()), ldm.vae.latent_dim
    known = torch.zeros(len(drafts), width, dtype=torch.long)
    for row, draft in zip(known, drafts, strict=True):
        row[: len(draft.known)] = torch.from_numpy(draft.known)
    targets = stack_targets(drafts)
    request = CrystalBatch(known, sizes, conditions=targets).to(device)
    allowed = allowed_elements(drafts, ldm.element_mask()).to(device)

    network = ldm.sampler_network
    encoded = network.encode(request)
    scales = dict(
        zip(ldm.conditions, scale_of_each(options.cfg_scale, list(ldm.conditions)), strict=True)
    )
    asked, formulas = request.atomic_numbers, ldm.training_formulas
    if ldm.prior is not None and start is None and bool(((asked == 0) & request.mask).any()):
        avoided = formulas if options.new_formulas else frozenset()
        drawn, asked = draw_elements(
            ldm.prior, drafts, request, allowed, encoded, scales,
            options.composition_temperature, avoided,
        )  # fmt: skip
        request = CrystalBatch(drawn, sizes, conditions=targets).to(device)
        # Elements that nobody asked for are no condition to be left out: the latents must have them
        # for the crystal to make sense, whatever the scale.
        scales |= {n: max(1.0, s) for n, s in scales.items() if n not in network.properties}
    given = _given(ldm, request.atomic_numbers, encoded)
    model = GuidedDenoiser(
        network,
        request.atomic_numbers,
        encoded,
        request.num_atoms,
        request.mask,
        given,
        [scales[name] for name in given],
    )
    last_timestep = max(ldm.diffusion.timesteps - 1, 1)
    low, high = options.cfg_interval
    bfloat16 = options.precision == "bfloat16"

    def denoise(x: Tensor, t: int) -> ModelPrediction:
        guided = low <= t / last_timestep <= high
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            output = model(x, t, guided)
        return ldm.diffusion.predict(output.float(), x, t)

    # Without noise a crystal that has to be made again would come out as it was.
    again = torch.tensor([draft.attempt > 0 for draft in drafts])
    temperature = torch.where(again & (options.temperature == 0), 1.0, options.temperature)

    def noise(x: Tensor) -> Tensor:
        return (temperature[:, None, None] * noise_for(drafts, width, dim)).to(x)

    frames: list[TrajectoryFrame] = []

    def report(step: SamplerStep) -> None:
        if options.trajectory:
            frames.append(_frame(ldm, request, asked, allowed, step))
        if callback is not None:
            callback(step)

    x = noise(torch.zeros((), device=device))
    timesteps = ldm.diffusion.sampling_timesteps(options.sampling_steps)
    if start is not None:
        origin, timesteps = start
        rows = torch.tensor([draft.row for draft in drafts])
        x = ldm.diffusion.q_sample(origin[rows, :width].to(x), timesteps[0], x)
    run = get_sampler(options.sampler)
    with compiled(network, options.compile):
        x = run(denoise, x, ldm.diffusion, timesteps, noise=noise, eta=options.eta, callback=report)
    crystals, agreement = decode_latents(ldm, x, request, allowed)
    crystals = crystals.to("cpu")
    crystals.conditions = targets
    count = len(drafts)
    return SampleResult(
        crystals=crystals,
        row=torch.tensor([draft.row for draft in drafts]),
        number=torch.tensor([draft.number for draft in drafts]),
        seed=options.seed,
        recipe=recipe,
        element_agreement=agreement.cpu(),
        attempts=torch.ones(count, dtype=torch.long),
        imposed=torch.zeros(count, dtype=torch.bool),
        sound=shortest_distances(crystals) >= options.min_distance,
        on_target=on_target(crystals, options.band_gap_tolerance),
        new_formula=torch.tensor([bool(formulas) and f not in formulas for f in crystals.formulas]),
        trajectory=frames if options.trajectory else None,
    )


def _given(ldm: LDMModule, atomic_numbers: Tensor, encoded: dict[str, Tensor]) -> list[str]:
    """Return the conditions that at least one crystal of the batch gives, in guidance's order."""
    given = given_names(encoded)
    composition = ldm.sampler_network.composition
    if composition is not None and bool((atomic_numbers > 0).any()):
        given.append(composition.name)
    return [name for name in ldm.conditions if name in given]


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


def _frame(
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
        noise_level=step.noise_level,
        crystals=crystals.to("cpu"),
        element_confidence=(confidence * request.mask).cpu(),
        predicted_noise_rms=rms.cpu(),
    )
