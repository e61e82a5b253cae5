"""Rejection sampling: what fails a filter, or lacks a required element, is made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.elements import atomic_number
from crystal_ldm.sampling.filters import Filter
from crystal_ldm.sampling.plan import Draft, Plan, require
from crystal_ldm.sampling.result import SampleResult
from crystal_ldm.sampling.settings import SamplingSettings

if TYPE_CHECKING:
    from crystal_ldm.ldm_module import LDMModule

Make = Callable[[list[Draft]], SampleResult]


def passed_filters(
    ldm: LDMModule, filters: Sequence[Filter], crystals: CrystalBatch
) -> dict[str, Tensor]:
    """Return (B,) bool for each filter by name; True where one did not look."""
    passed: dict[str, Tensor] = {}
    so_far = torch.ones(len(crystals), dtype=torch.bool)
    for one in filters:
        right = torch.ones(len(crystals), dtype=torch.bool)
        if one.after_others:
            rows = so_far.nonzero().flatten()
            if len(rows):
                right[rows] = one.passes(ldm, crystals[rows])
        else:
            right = one.passes(ldm, crystals)
        passed[one.kind] = right
        so_far = so_far & right
    return passed


def make_until_passed(
    make: Make,
    drafts: list[Draft],
    plan: Plan,
    settings: SamplingSettings,
    has_composition_model: bool,
) -> SampleResult:
    """Make crystals, and again those that lack required elements or fail a filter.

    Each attempt has random numbers of its own, which depend on seed, place and attempt alone.

    Args:
        make: makes the crystals of some drafts.
        drafts: of one batch.
        plan: what they are part of.
        settings: how often to try.
        has_composition_model: whether required elements are met by themselves.
    """
    result = make(drafts)
    result.attempts = result.attempts.clone()  # made in inference mode, it could not be written to
    enough = 2 ** (1 + len(result.passed)) - 1
    for attempt in range(1, settings.attempts + 1):
        merits = _merits(drafts, result, settings)
        wrong = (merits % (enough + 1) < enough).nonzero().flatten()
        if not len(wrong):
            break
        places = [(drafts[i].row, drafts[i].number) for i in wrong.tolist()]
        again = [plan.draft(row, number, attempt) for row, number in places]
        # Also of a crystal that had them and failed otherwise: the next one may lack them.
        last = attempt == settings.attempts and not has_composition_model
        imposed = torch.tensor([last and bool(draft.missing) for draft in again])
        again = [require(d) if must else d for d, must in zip(again, imposed, strict=True)]
        remade = make(again)
        remade.imposed = imposed
        # The last one is kept, unless it misses something that weighs more.
        kept = (_merits(again, remade, settings) >= merits[wrong]).nonzero().flatten()
        if len(kept):
            result = _replace(result, remade[kept], wrong[kept])
        result.attempts[wrong] = attempt + 1
    return result


def _merits(drafts: Sequence[Draft], result: SampleResult, settings: SamplingSettings) -> Tensor:
    """Return (B,) the bits of what is met: each filter, the earlier the higher, above them the
    required elements, and above all a new formula, which elements drawn again have or have not."""
    merits = torch.zeros(len(drafts), dtype=torch.long)
    if settings.elements.new_formula:
        merits += result.new_formula
    met = [_has_required(d, result.crystals, i) for i, d in enumerate(drafts)]
    for bit in (torch.tensor(met), *result.passed.values()):
        merits = 2 * merits + bit
    return merits


def _has_required(draft: Draft, crystals: CrystalBatch, i: int) -> bool:
    if not draft.rules.required:
        return True
    present = set(crystals.atomic_numbers[i].tolist())
    return all(atomic_number(symbol) in present for symbol in draft.rules.required)


def _replace(result: SampleResult, remade: SampleResult, rows: Tensor) -> SampleResult:
    joined = SampleResult.cat([result, remade])
    order = torch.arange(len(result))
    order[rows] = len(result) + torch.arange(len(rows))
    return joined[order]
