"""From a request to crystals, which is what `LDMModule.sample` hands itself to.

`place_order` checks the request, `iter_sample` makes its crystals batch by batch: those that fail a
filter are made again (rejection sampling). How one batch is made is in `denoising`.
"""

from __future__ import annotations

import operator
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor

from crystal_ldm.config.numbers import short
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.elements import atomic_number
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.diffusion import StopSampling
from crystal_ldm.ldm_module.guidance import scale_of_each
from crystal_ldm.nn.device_and_precision import resolve_device, sampling_precision
from crystal_ldm.sampling.cell_sizes import settle_units
from crystal_ldm.sampling.checks import check_request, groups_out_of_reach, smaller_than_known
from crystal_ldm.sampling.denoising import Callback, Denoising, Order
from crystal_ldm.sampling.plan import Draft, Plan, require
from crystal_ldm.sampling.recipe import make_recipe
from crystal_ldm.sampling.result import SampleResult
from crystal_ldm.sampling.schema import whole_number
from crystal_ldm.sampling.settings import SamplingSettings
from crystal_ldm.sampling.space_groups import group_choice

Wanted = Callable[[int, int], bool] | Iterable[tuple[int, int]] | None
"""Which crystals of a request are wanted: a function of row and number, their places, or all."""
_WINDOW = 4096
"""Crystals that are planned at a time: memory does not grow with a request."""
_MOST_AT_ONCE = 4
"""Batches that are made at once: each needs memory, and Python's part is one thread's at a time."""
_WORTH_A_THREAD = 16
"""Crystals in a batch below which Python takes longer than what a second thread brings."""


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
    num_samples = whole_number("num_samples", num_samples)
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
    request, about_units = settle_units(ldm, request, settings.preset)
    scale_of_each(settings.guidance.scale, list(ldm.conditions))
    notes += [about_units, smaller_than_known(ldm, request), groups_out_of_reach(request)]
    for note in notes:
        if note:
            warnings.warn(note, stacklevel=5)  # at the line that called LDMModule.sample
    origin = settings.start.origin(ldm, crystals, num_samples, settings.solver.steps)
    plan = Plan(request, num_samples, settings.offset, settings.seed, ldm.num_atoms_histogram)
    plan.first_row = origin.first_row = first_row
    plan.groups = group_choice(ldm, request, settings)
    if settings.compute.device != "auto":
        ldm.to(resolve_device(settings.compute.device))
    precision = sampling_precision(settings.compute.precision, ldm.device)
    used = settings.changed(
        compute=settings.compute.changed(precision=precision, device=ldm.device.type)
    )
    uses_training_set = settings.uses_training_set() or plan.groups is not None
    training_hash = ldm.training_crystals.hash if uses_training_set else ""
    asked = crystals if settings.start.takes_crystals else request
    recipe = make_recipe(
        model=ldm.source,
        model_hash=ldm.model_hash,
        request=None if asked is None else asked.to_request(),
        sampling={"num_samples": num_samples, **used.to_dict()},
        data_hash=ldm.data_info.get("content_hash", ""),
        known_hash=training_hash,
        first_row=first_row,
    )
    return Order(ldm, plan, settings, origin, recipe, precision)


def iter_sample(
    order: Order, callback: Callback = None, wanted: Wanted = None
) -> Iterator[SampleResult]:
    """Yield each finished batch of an order; see `LDMModule.iter_sample`.

    An interrupted loop over the batches has those that were finished, and `runs.generate` has them
    on disk; `LDMModule.sample`, which waits for all of them, returns them only if it was stopped by
    a callback's `StopSampling`.
    """
    plan, denoising = order.plan, Denoising(order, callback)
    if callback is not None and not callable(callback):
        raise RequestError(f"callback must be a function of a SamplerStep, not {short(callback)}.")
    places = plan.places() if wanted is None else _wanted_places(plan, wanted)
    at_once = 1 if callback is not None else _batches_at_once(order)
    later = _batches_of(order, places, at_once)
    first = list(islice(later, 2))
    batches = chain(first, later)
    if at_once > 1 and len(first) > 1:
        yield from _side_by_side(partial(_make_until_passed, denoising), batches, at_once)
        return
    for drafts in batches:
        try:
            yield _make_until_passed(denoising, drafts)
        except StopSampling:
            return


def _wanted_places(plan: Plan, wanted: Any) -> Iterator[tuple[int, int]]:
    """Yield (row, number) of the crystals that are wanted; see `Wanted`."""
    if callable(wanted):
        yield from (place for place in plan.places() if wanted(*place))
        return
    try:
        places = [(operator.index(row), operator.index(number)) for row, number in wanted]
    except (TypeError, ValueError) as error:
        raise RequestError(
            "wanted must be a function of row and number, or pairs of them, and is "
            f"{short(wanted)}."
        ) from error
    for row, number in places:
        if (row, number) not in plan:
            raise RequestError(f"The request has no crystal in row {row}, number {number}.")
        yield row, number


def _batches_at_once(order: Order) -> int:
    """Return how many batches to make at the same time on the CPU's cores.

    The kernels of a batch are so small that a second thread for each of them brings 1.6 times, and
    less than nothing where other programs take part of a core; a batch for each thread brings more.
    """
    compute = order.settings.compute
    alone = order.ldm.device.type != "cpu" or compute.compile or compute.batch_size != "auto"
    return 1 if alone else min(torch.get_num_threads(), _MOST_AT_ONCE)


def _side_by_side(
    make: Callable[[list[Draft]], SampleResult], batches: Iterable[list[Draft]], at_once: int
) -> Iterator[SampleResult]:
    """Yield what `make` returns for each batch, in order, with so many of them being made."""
    threads = torch.get_num_threads()
    waiting: deque[Future[SampleResult]] = deque()
    share = threads // at_once
    # The number belongs to the thread that sets it, and to those that begin later.
    with ThreadPoolExecutor(at_once, "batch", torch.set_num_threads, (share,)) as pool:
        try:
            for drafts in batches:
                waiting.append(pool.submit(make, drafts))
                if len(waiting) == at_once:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)


def _batches_of(
    order: Order, places: Iterable[tuple[int, int]], at_once: int
) -> Iterator[list[Draft]]:
    """Yield the drafts of each batch: crystals of similar size that start alike.

    Similar sizes need little padding. Crystals whose elements the model draws itself are guided by
    them differently, and those that start elsewhere than from noise take fewer timesteps. Where
    several batches are made `at_once`, a small request is cut into as many.
    """

    def kind(draft: Draft) -> tuple[bool, bool]:
        return bool((draft.atomic_numbers == 0).any()), order.origin.starts_elsewhere(draft)

    width = order.ldm.sampler_network.denoiser.hidden_size
    size_of = order.settings.compute.crystals_in_batch
    remaining = iter(places)
    while window := [order.plan.draft(row, number) for row, number in islice(remaining, _WINDOW)]:
        kinds = {id(draft): kind(draft) for draft in window}
        most = max(-(-len(window) // at_once), _WORTH_A_THREAD) if at_once > 1 else _WINDOW
        window.sort(key=lambda draft: (kinds[id(draft)], len(draft.atomic_numbers)))
        start = 0
        while start < len(window):
            size = min(size_of(len(window[start].atomic_numbers), width), most)
            largest = window[min(start + size, len(window)) - 1]
            size = min(size, size_of(len(largest.atomic_numbers), width))
            first = kinds[id(window[start])]
            batch = [d for d in window[start : start + size] if kinds[id(d)] == first]
            yield batch
            start += len(batch)


def _make_until_passed(denoising: Denoising, drafts: list[Draft]) -> SampleResult:
    """Make crystals, and again those that lack required elements or fail a filter.

    Each attempt has random numbers of its own, which depend on seed, place and attempt alone.
    """
    order, make = denoising.order, denoising.make
    settings = order.settings
    result = make(drafts)
    result.attempts = result.attempts.clone()  # made in inference mode, it could not be written to
    for attempt in range(1, settings.attempts + 1):
        met = _met(drafts, result)
        wrong = (~met.all(dim=1)).nonzero().flatten()
        if not len(wrong):
            break
        places = [(drafts[i].row, drafts[i].number) for i in wrong.tolist()]
        again = [order.plan.draft(row, number, attempt) for row, number in places]
        # Also of a crystal that had them and failed otherwise: the next one may lack them.
        last = attempt == settings.attempts and order.ldm.composition_model is None
        imposed = torch.tensor([last and bool(draft.missing) for draft in again])
        again = [require(d) if must else d for d, must in zip(again, imposed, strict=True)]
        remade = make(again)
        remade.imposed = imposed
        # The last one is kept, unless it misses something that weighs more.
        before = _merit(result, met, settings)[wrong]
        kept = (_merit(remade, _met(again, remade), settings) >= before).nonzero().flatten()
        if len(kept):
            result = _replace(result, remade[kept], wrong[kept])
        result.attempts[wrong] = attempt + 1
    return result


def _met(drafts: Sequence[Draft], result: SampleResult) -> Tensor:
    """Return (B, 1 + filters) bool: whether required elements are there, each filter is passed."""
    required = torch.tensor([_has_required(d, result.crystals, i) for i, d in enumerate(drafts)])
    return torch.stack([required, *result.passed.values()], dim=1)


def _merit(result: SampleResult, met: Tensor, settings: SamplingSettings) -> Tensor:
    """Return (B,) which attempt is the better one: what is met, read as the digits of a number.

    An earlier filter weighs more than all later ones, required elements more than filters, and a
    new formula, where one is wanted, most: an attempt draws its elements anew, and may lose it.
    """
    if settings.elements.new_formula:
        met = torch.cat([result.new_formula[:, None], met], dim=1)
    weights = 2 ** torch.arange(met.shape[1]).flip(0)
    return (met * weights).sum(dim=1)


def _has_required(draft: Draft, crystals: CrystalBatch, i: int) -> bool:
    present = set(crystals.atomic_numbers[i].tolist())
    return all(atomic_number(symbol) in present for symbol in draft.rules.required)


def _replace(result: SampleResult, remade: SampleResult, rows: Tensor) -> SampleResult:
    joined = SampleResult.cat([result, remade])
    order = torch.arange(len(result))
    order[rows] = len(result) + torch.arange(len(rows))
    return joined[order]
