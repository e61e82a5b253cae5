"""What `LDMModule.sample` hands itself to."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from crystal_ldm.config.numbers import plain_number, short
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module.diffusion import StopSampling
from crystal_ldm.ldm_module.guidance import scale_of_each
from crystal_ldm.nn.device_and_precision import resolve_device, sampling_precision
from crystal_ldm.recipe import make_recipe
from crystal_ldm.sampling.batches import batches_of
from crystal_ldm.sampling.checks import check_request
from crystal_ldm.sampling.denoising import Callback, Denoising
from crystal_ldm.sampling.plan import Plan
from crystal_ldm.sampling.rejection import make_until_passed
from crystal_ldm.sampling.result import SampleResult
from crystal_ldm.sampling.settings import SamplingSettings
from crystal_ldm.sampling.space_groups import group_choice
from crystal_ldm.sampling.starts import Origin

if TYPE_CHECKING:
    from crystal_ldm.ldm_module import LDMModule

Wanted = Callable[[int, int], bool] | Iterable[tuple[int, int]] | None
"""Which crystals of a request are wanted: a function of row and number, or their places."""


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


def place_order(
    ldm: LDMModule,
    batch: CrystalBatch | None,
    num_samples: Any,
    keywords: Mapping[str, Any],
    first_row: int = 0,
) -> Order:
    """Check what `LDMModule.sample` was asked for, before anything is computed.

    Args:
        ldm, batch, num_samples, keywords: see `LDMModule.sample`.
        first_row: number of the batch's first row, where it is part of a larger request: random
            numbers depend on it.

    Raises:
        RequestError: for what the model was not trained for, or a setting that is none.
    """
    num_samples = _count(num_samples)
    if batch is not None and not isinstance(batch, CrystalBatch):
        raise RequestError(
            f"The first argument of sample is a CrystalBatch, not {type(batch).__name__}: make one "
            "with CrystalBatch.from_formulas or from_num_atoms."
        )
    crystals = None if batch is None else batch.to("cpu")
    settings = SamplingSettings.make(keywords)
    request = settings.start.request(crystals, ldm)
    settings, notes = settings.fitted(
        ldm, request, [k for k, v in keywords.items() if v is not None]
    )
    request = settings.start.request(crystals, ldm)
    check_request(ldm, request)
    scale_of_each(settings.guidance.scale, list(ldm.conditions))
    for note in notes:
        warnings.warn(note, stacklevel=4)
    origin = settings.start.origin(ldm, crystals, num_samples, settings)
    plan = Plan(request, num_samples, settings.offset, settings.seed, ldm.num_atoms_histogram)
    plan.first_row = origin.first_row = first_row
    plan.groups = group_choice(ldm, request, settings.guidance.likely_groups)
    if settings.compute.device != "auto":
        ldm.to(resolve_device(settings.compute.device))
    precision = sampling_precision(settings.compute.precision, ldm.device)
    used = settings.changed(
        compute=settings.compute.changed(precision=precision, device=ldm.device.type)
    )
    asked = crystals if settings.start.takes_crystals else request
    recipe = make_recipe(
        model=ldm.source,
        model_hash=ldm.model_hash,
        request=None if asked is None else asked.to_request(),
        sampling={"num_samples": num_samples, **used.to_dict()},
        data_hash=ldm.data_info.get("content_hash", ""),
        known_hash=ldm.training_crystals.hash
        if settings.uses_training_set() or plan.groups
        else "",
        first_row=first_row,
    )
    return Order(ldm, plan, settings, origin, recipe, precision)


def iter_sample(
    order: Order, callback: Callback = None, wanted: Wanted = None
) -> Iterator[SampleResult]:
    """Yield each finished batch of an order; see `LDMModule.iter_sample`."""
    ldm, plan, settings = order.ldm, order.plan, order.settings
    denoising = Denoising(ldm, settings, order.origin, order.recipe, callback, order.precision)

    places: Iterable[tuple[int, int]] = plan.places()
    if callable(wanted):
        places = (place for place in places if wanted(*place))
    elif wanted is not None:
        places = wanted
    for drafts in batches_of(ldm, plan, places, settings, order.origin):
        try:
            yield make_until_passed(
                denoising.make, drafts, plan, settings, ldm.composition_model is not None
            )
        except StopSampling:
            return


@torch.inference_mode()
def interpolate(
    ldm: LDMModule, first: CrystalBatch, second: CrystalBatch, steps: Any
) -> CrystalBatch:
    """See `LDMModule.interpolate`."""
    ends: tuple[Any, Any] = (first, second)
    for end in ends:
        if not isinstance(end, CrystalBatch) or end.frac_coords is None or len(end) != 1:
            raise RequestError(
                "Interpolation takes one crystal at each end: CrystalBatch.from_structures([...])."
            )
    if isinstance(steps, bool) or not isinstance(steps, int) or not 2 <= steps <= 10_000:
        raise RequestError(f"Interpolation needs 2 to 10000 steps, not {short(steps)}.")
    if int(first.num_atoms) != int(second.num_atoms):
        raise RequestError(
            f"Interpolation needs as many atoms at both ends; {first.formulas[0]} has "
            f"{int(first.num_atoms)} in its cell, {second.formulas[0]} {int(second.num_atoms)}."
        )
    start, end_latents = ldm.vae.encode(first), ldm.vae.encode(second)
    weights = torch.linspace(0, 1, steps).view(-1, 1, 1)
    numbers = first.atomic_numbers
    known = numbers if bool((numbers == second.atomic_numbers).all()) else torch.zeros_like(numbers)
    return ldm.vae.decode(
        (1 - weights) * start + weights * end_latents,
        first.num_atoms.expand(steps),
        known.expand(steps, -1),
    )


def _count(num_samples: Any) -> int:
    number = plain_number(num_samples)
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 10_000_000:
        raise RequestError(
            f"num_samples must be a whole number from 1 to 10000000, not {short(num_samples)}."
        )
    return number
