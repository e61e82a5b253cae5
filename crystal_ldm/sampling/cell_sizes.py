"""How many formula units the cells of a formula are likely to hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.given_values import LIKELY
from crystal_ldm.crystals.request import Units, multiplied
from crystal_ldm.crystals.symmetry.space_groups import SPACE_GROUP
from crystal_ldm.crystals.symmetry.wyckoff import can_fill
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.sampling.presets import get_preset
from crystal_ldm.sampling.space_groups import groups_asked

_NEIGHBOURS = 50
_WIDTH = 0.1
_BACKGROUND = 0.3
"""How the density of neighbours is estimated; chosen by the share of first guesses that are right,
and its logarithm, on the validation sets of `mp_20` and `oqmd_icsd` (`benchmarks.quality
formula_units`)."""
_KNOWN = 0.75
"""What a formula's own known crystals count, against all crystals of similar formulas."""
_LEAST = 0.01
"""Formula units with a smaller share are left out: they would hardly have a turn."""


def likely_units(
    ldm: LDMModule, numbers: NDArray[np.int64], groups: Sequence[int] = ()
) -> tuple[dict[int, float], str]:
    """Return the share of each number of formula units, in ascending order, and why.

    It is p(formula units | formula) by a kernel density over the training crystals: those of
    similar formulas, with as many elements and multiples of the atoms of each, count
    exp(−distance / 0.1), and a little each one's frequency among all of them. As for space groups
    (`sampling.space_groups.LikelyGroups`).

    Args:
        ldm: the model.
        numbers: (n,) atomic numbers of one formula unit, 0 where open.
        groups: space groups that are asked for; empty: any.
    """
    training_crystals = ldm.training_crystals
    most = ldm.max_atoms // max(len(numbers), 1)
    if most < 2 or training_crystals.empty or bool((numbers == 0).any()):
        return {1: 1.0}, ""
    votes, frequency, nearest = np.zeros(most), np.zeros(most), (np.inf, -1)
    counts = np.unique(numbers, return_counts=True)[1]
    for i, units in enumerate(range(1, most + 1)):
        if groups and not any(can_fill(g, (counts * units).tolist()) for g in groups):
            continue
        cell = numbers.repeat(units)
        frequency[i] = training_crystals.search.count(cell)
        for one in training_crystals.search.nearest(cell, _NEIGHBOURS):
            if not groups or training_crystals.space_group(one.row) in groups:
                votes[i] += np.exp(-one.distance / _WIDTH)
                nearest = min(nearest, (one.distance, one.row))
    known = _units_of(ldm, numbers, groups)
    if known:
        of_known = np.bincount(known, minlength=most + 1)[1:] / len(known)
        many = f"{len(known)} known crystals have" if len(known) > 1 else "known crystal has"
        why = f"its {many}"
    elif nearest[1] >= 0:
        formula = training_crystals.crystals[torch.tensor([nearest[1]])].formulas[0]
        why = f"crystals of similar formulas, such as {formula}, have"
    elif frequency.any():  # of none of which the space group that is asked for is known
        why = "crystals with as many atoms of each element have"
    else:
        return {1: 1.0}, ""
    shares = votes + _BACKGROUND * frequency / max(frequency.sum(), 1)
    if known:
        shares = _KNOWN * of_known + (1 - _KNOWN) * shares / max(shares.sum(), 1e-9)
    shares = np.round(shares / shares.sum(), 3)
    return {i + 1: float(shares[i]) for i in range(most) if shares[i] >= _LEAST}, why


def _units_of(ldm: LDMModule, numbers: NDArray[np.int64], groups: Sequence[int]) -> list[int]:
    """Return the formula units of the formula's own known crystals that can be made."""
    rows = ldm.training_crystals.rows_of(torch.from_numpy(numbers)[None])[0]
    sizes = ldm.training_crystals.crystals.num_atoms
    units = [
        divmod(int(sizes[row]), len(numbers))
        for row in rows
        if not groups or ldm.training_crystals.space_group(row) in groups
    ]
    most = ldm.max_atoms // len(numbers)
    return [whole for whole, rest in units if rest == 0 and whole <= most]


def likely_units_in_words(ldm: LDMModule, numbers: NDArray[np.int64]) -> str:
    """Return which formula units the crystals of a formula take where none are given, a sentence.

    Args:
        ldm: the model.
        numbers: (n,) atomic numbers of one formula unit.
    """
    shares, why = likely_units(ldm, numbers)
    return f"It {_in_words(shares, len(numbers))}, as {why}." if why else ""


def settle_units(
    ldm: LDMModule, request: CrystalBatch | None, preset: str
) -> tuple[CrystalBatch | None, str]:
    """Return a request that says how many formula units its cells hold, and in a sentence what was
    taken where nobody said it; empty where that is one.

    Raises:
        RequestError: if likely ones are asked for, and the model has no training crystals.
    """
    if request is None or request.formula_units is None:
        return request, ""
    units, said = list[Units](), list[str]()
    groups = groups_asked(request.conditions.get(SPACE_GROUP, [None] * len(request)))
    for i, asked in enumerate(request.units()):
        by_preset = get_preset(preset).formula_units if isinstance(asked, str) else None
        if asked == LIKELY and ldm.training_crystals.empty:
            raise RequestError(
                "This model has no training crystals, which likely formula units are taken from: "
                "give formula_units as a number."
            )
        if asked == LIKELY or by_preset == LIKELY:
            numbers = request.atomic_numbers[i, : int(request.num_atoms[i])].numpy()
            asked, why = likely_units(ldm, numbers, groups[i])
            if list(asked) != [1]:
                said.append(f"{request.formulas[i]} {_in_words(asked, len(numbers))}, as {why}")
        units.append({1: 1.0} if isinstance(asked, str) else asked)
    single = [next(iter(u)) if isinstance(u, Mapping) and len(u) == 1 else 1 for u in units]
    several: list[Units] = [u if isinstance(u, Mapping) and len(u) > 1 else None for u in units]
    settled = multiplied(request, single)
    settled.formula_units = several if any(several) else None
    distinct = list(dict.fromkeys(said))
    if not distinct:
        return settled, ""
    more = f"; and {len(distinct) - 3} others so, too" if len(distinct) > 3 else ""
    return settled, (
        f"No formula units were given: {'; '.join(distinct[:3])}{more}. With formula_units=1 (or "
        "another number) all cells have one size."
    )


def _in_words(shares: Mapping[int, float], atoms: int) -> str:
    """Return which formula units a row takes, the first of them with its number of atoms."""
    first, *others = sorted(shares, key=lambda units: -shares[units])
    text = f"takes {first} formula unit{'s' if first > 1 else ''} ({first * atoms} atoms)"
    if others:
        rest = " and ".join(", ".join(map(str, others)).rsplit(", ", 1))
        text += f" for {100 * shares[first]:.0f} % of the crystals and the first, then {rest}"
    return text
