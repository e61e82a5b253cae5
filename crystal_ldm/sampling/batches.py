"""From a request to batches of crystals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from crystal_ldm.sampling.plan import Draft, Plan
from crystal_ldm.sampling.settings import SamplingSettings
from crystal_ldm.sampling.starts import Origin

if TYPE_CHECKING:
    from crystal_ldm.ldm_module import LDMModule

WINDOW = 4096
"""Crystals that are planned at a time: memory does not grow with a request."""


def batches_of(
    ldm: LDMModule,
    plan: Plan,
    places: Iterable[tuple[int, int]],
    settings: SamplingSettings,
    origin: Origin,
) -> Iterator[list[Draft]]:
    """Yield the drafts of each batch: crystals of similar size that start alike.

    Similar sizes need little padding. Crystals whose elements the model draws itself are guided by
    them differently, and those that start elsewhere than from noise take fewer timesteps.
    """

    def kind(draft: Draft) -> tuple[bool, bool]:
        return bool((draft.atomic_numbers == 0).any()), origin.starts_elsewhere(draft)

    width = ldm.sampler_network.denoiser.hidden_size
    remaining = iter(places)
    while window := [plan.draft(row, number) for row, number in islice(remaining, WINDOW)]:
        kinds = {id(draft): kind(draft) for draft in window}
        window.sort(key=lambda draft: (kinds[id(draft)], len(draft.atomic_numbers)))
        start = 0
        while start < len(window):
            size = settings.compute.crystals_in_batch(len(window[start].atomic_numbers), width)
            largest = window[min(start + size, len(window)) - 1]
            size = min(size, settings.compute.crystals_in_batch(len(largest.atomic_numbers), width))
            first = kinds[id(window[start])]
            batch = [d for d in window[start : start + size] if kinds[id(d)] == first]
            yield batch
            start += len(batch)
