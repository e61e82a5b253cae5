"""Crystals that are not as asked for are made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.elements import atomic_number
from crystal_ldm.sampling.options import SamplingOptions
from crystal_ldm.sampling.plan import Draft, Plan, require
from crystal_ldm.sampling.result import SampleResult

Make = Callable[[list[Draft]], SampleResult]


def make_until_right(
    make: Make, drafts: list[Draft], plan: Plan, options: SamplingOptions, has_prior: bool
) -> SampleResult:
    """Make crystals, and again those that lack required elements, are not sound, new or on target.

    Each attempt has random numbers of its own, which depend on seed, place and attempt alone.

    Args:
        make: makes the crystals of some drafts.
        drafts: of one batch.
        plan: what they are part of.
        options: how often to try.
        has_prior: whether a composition prior meets required elements by itself.
    """
    result = make(drafts)
    for attempt in range(1, options.max_attempts + 1):
        merits = _merits(drafts, result, options)
        wrong = (merits % _NEW_FORMULA < _RIGHT).nonzero().flatten()
        if not len(wrong):
            break
        places = [(drafts[i].row, drafts[i].number) for i in wrong.tolist()]
        again = [plan.draft(row, number, attempt) for row, number in places]
        # Also of a crystal that had them and was wrong otherwise: the next one may lack them.
        last = attempt == options.max_attempts and not has_prior
        imposed = torch.tensor([last and bool(draft.missing) for draft in again])
        again = [require(d) if must else d for d, must in zip(again, imposed, strict=True)]
        remade = make(again)
        remade.imposed = imposed
        # The last one is kept, unless it misses something that weighs more.
        kept = (_merits(again, remade, options) >= merits[wrong]).nonzero().flatten()
        if len(kept):
            result = _replace(result, remade[kept], wrong[kept])
        result.attempts[wrong] = attempt + 1
    return result


_RIGHT = 8 + 4 + 2 + 1
_NEW_FORMULA = 16


def _merits(drafts: Sequence[Draft], result: SampleResult, options: SamplingOptions) -> Tensor:
    """Return (B,) 8 for the required elements, 4 for sound distances, 2 for a new crystal and 1 for
    the band gap, added; and 16 for a new formula, which elements drawn again have or have not."""
    found = [_has_required(d, result.crystals, i) for i, d in enumerate(drafts)]
    merits = 8 * torch.tensor(found) + 4 * result.sound + 2 * result.new_crystal + result.on_target
    return merits + _NEW_FORMULA * result.new_formula if options.new_formulas else merits


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
