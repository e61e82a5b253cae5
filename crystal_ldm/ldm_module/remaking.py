"""Crystals that are not as asked for are made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.elements import atomic_number
from crystal_ldm.ldm_module.options import SamplingOptions
from crystal_ldm.ldm_module.plan import Draft, Plan, require
from crystal_ldm.ldm_module.result import SampleResult

Make = Callable[[list[Draft]], SampleResult]


def make_until_right(
    make: Make, drafts: list[Draft], plan: Plan, options: SamplingOptions, has_prior: bool
) -> SampleResult:
    """Make crystals, and again those that lack required elements, are not sound or not on target.

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
        found = [_has_required(d, result.crystals, i) for i, d in enumerate(drafts)]
        right = result.sound & result.on_target
        wrong = [i for i, has in enumerate(found) if not (has and right[i])]
        if not wrong:
            break
        again = [plan.draft(drafts[i].row, drafts[i].number, attempt) for i in wrong]
        # Also of a crystal that had them and was wrong otherwise: the next one may lack them.
        last = attempt == options.max_attempts and not has_prior
        imposed = torch.tensor([last and bool(draft.missing) for draft in again])
        again = [require(d) if must else d for d, must in zip(again, imposed, strict=True)]
        remade = make(again)
        remade.attempts = remade.attempts + attempt
        remade.imposed = imposed
        result = _replace(result, remade, wrong)
    return result


def _has_required(draft: Draft, crystals: CrystalBatch, i: int) -> bool:
    if not draft.rules.required:
        return True
    present = set(crystals.atomic_numbers[i].tolist())
    return all(atomic_number(symbol) in present for symbol in draft.rules.required)


def _replace(result: SampleResult, remade: SampleResult, rows: Sequence[int]) -> SampleResult:
    joined = SampleResult.cat([result, remade])
    order = torch.arange(len(result))
    order[torch.tensor(rows)] = len(result) + torch.arange(len(rows))
    return joined[order]
