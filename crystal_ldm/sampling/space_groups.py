"""Space groups of a request: which are likely, which each crystal gets, and that it has it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.given_values import LIKELY
from crystal_ldm.crystals.padding import Values, plain_list
from crystal_ldm.crystals.symmetry.projection import onto_space_group
from crystal_ldm.crystals.symmetry.space_groups import (
    NUM_GROUPS,
    SPACE_GROUP,
    group_number,
    group_numbers,
)
from crystal_ldm.errors import DataError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.sampling.filters import Filter, HasSpaceGroup
from crystal_ldm.sampling.guidance import AFTER_FIRST, NONE
from crystal_ldm.sampling.plan import Draft, Turns
from crystal_ldm.sampling.settings import SamplingSettings
from crystal_ldm.sampling.starts import Noise, Start

_NEIGHBOURS = 200
_WIDTH = 0.2
_BACKGROUND = 0.3
"""How the density of neighbours is estimated; chosen by its logarithm on the validation set of
`mp_20` (`benchmarks.quality space-groups`)."""


class LikelyGroups:
    """p(space group | composition) of a model, by a kernel density over its training crystals.

    The space groups of the formula's prototypes count exp(−distance / 0.2) each, its own known
    crystals 1, and the groups of the whole training set a little, so that none is impossible.
    Kernel estimates are due to Rosenblatt (Ann. Math. Stat. 27, 832 (1956)).

    Args:
        ldm: the model.
        likely: which crystals take the likely groups where none was asked for
            (`Guidance.likely_groups`).
        start: of the request; the group of its first prototype has had a turn where the first
            crystal takes none. None: noise.
    """

    def __init__(self, ldm: LDMModule, likely: str = NONE, start: Start | None = None) -> None:
        self._likely, self._start = likely, start or Noise()
        self._known = ldm.training_crystals
        condition = ldm.conditions.get(SPACE_GROUP)
        counts = getattr(condition, "counts", None)
        frequency = np.ones(NUM_GROUPS) if counts is None else counts.cpu().double().numpy() + 1e-3
        self._frequency: NDArray[np.float64] = frequency / frequency.sum()
        self._turns: dict[tuple[bytes, bytes, int | None], Turns] = {}

    def probabilities(self, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return (230,) probabilities for the atomic numbers (n,) of a cell, 0 where open."""
        density = _BACKGROUND * self._frequency
        if len(numbers) and not (numbers == 0).any() and not self._known.empty:
            own = self._known.rows_of(torch.from_numpy(numbers)[None])[0]
            weights = [(row, 1.0) for row in own]
            for prototype in self._known.search.nearest(numbers, _NEIGHBOURS):
                weights.append((prototype.row, float(np.exp(-prototype.distance / _WIDTH))))
            for row, weight in weights:
                if (group := self._known.space_group(row)) is not None:
                    density[group - 1] += weight
        probabilities: NDArray[np.float64] = density / density.sum()
        return probabilities

    def turn(
        self,
        numbers: NDArray[np.int64],
        number: int,
        among: Sequence[int] = (),
        taken: int | None = None,
    ) -> tuple[int, int]:
        """Return the group whose turn it is, and how often it had its turn before.

        Likely groups come first and more often: the turns are shared out (`Turns`) in proportion to
        the square root of the probabilities, since a group that is left out costs more than one
        with a crystal less.

        Args:
            numbers: (n,) atomic numbers of a cell, 0 where open.
            number: of the crystal among those of its row.
            among: the groups that may have turns; empty: all.
            taken: a group that had a turn before the first; None: none had.
        """
        key = np.sort(numbers).tobytes(), bytes(among), taken
        if key not in self._turns:
            probability = np.sqrt(self.probabilities(numbers))
            if among:
                probability[np.setdiff1d(np.arange(NUM_GROUPS), np.array(among) - 1)] = 0.0
            self._turns[key] = Turns(probability, None if taken is None else taken - 1)
        place, before = self._turns[key][number]
        return place + 1, before

    def settle(self, draft: Draft) -> None:
        """Settle on one space group for a crystal that several were asked for, or none: set its
        target, and its turn among the row's crystals with the same target."""
        asked: Any = draft.targets.get(SPACE_GROUP)
        numbers, turn, taken = draft.atomic_numbers, draft.turn, None
        if asked is None or asked != asked:
            best_first = self._likely == AFTER_FIRST
            turn -= best_first
            if self._likely == NONE or turn < 0 or bool((numbers == 0).any()):
                draft.targets[SPACE_GROUP] = math.nan
                return
            if best_first and (first := self._start.prototypes(self._known, numbers, 1)):
                taken = self._known.space_group(first[0].row)
            asked = LIKELY
        among = () if asked == LIKELY else group_numbers(asked)
        group = among[0] if len(among) == 1 else None
        if group is None:
            group, draft.turn = self.turn(numbers, turn, among, taken)
        draft.targets[SPACE_GROUP] = float(group)


def group_choice(
    ldm: LDMModule, request: CrystalBatch | None, settings: SamplingSettings
) -> LikelyGroups | None:
    """Return what settles on space groups; None if there is nothing to settle.

    A best guess is followed by no other groups where a filter asks for one, and where the crystals
    are changed from given ones, which have theirs.
    """
    if request is None or SPACE_GROUP not in ldm.conditions:
        return None
    likely = settings.guidance.likely_groups
    if likely == AFTER_FIRST and (settings.start.takes_crystals or _of_filters(settings.filters)):
        likely = NONE
    wanted = likely != NONE or SPACE_GROUP in request.conditions
    return LikelyGroups(ldm, likely, settings.start) if wanted else None


def groups_asked(values: Values) -> list[list[int]]:
    """Return the groups that each row of a request names: none where any or likely ones will do.

    Raises:
        RequestError: if a row names something else.
    """
    return [[] if row == LIKELY else group_numbers(row) for row in plain_list(values)]


def groups_of(drafts: Sequence[Draft], filters: Sequence[Filter]) -> list[int | None]:
    """Return for each crystal the group that it was asked for, by the request or by a filter."""
    default = _of_filters(filters)
    return [group_number(draft.targets.get(SPACE_GROUP)) or default for draft in drafts]


def _of_filters(filters: Sequence[Filter]) -> int | None:
    return next((f.number for f in filters if isinstance(f, HasSpaceGroup) and f.number), None)


def symmetrised(
    crystals: CrystalBatch, groups: Sequence[int | None]
) -> tuple[CrystalBatch, Tensor]:
    """Return crystals (on the CPU), moved onto their groups where they can be.

    Returns:
        The crystals, and (B,) the largest displacement of an atom, Å; NaN where none was moved.
    """
    displacement = torch.full((len(crystals),), torch.nan)
    if all(group is None for group in groups):
        return crystals, displacement
    assert crystals.frac_coords is not None and crystals.lattices is not None
    coords, lattices = crystals.frac_coords.clone(), crystals.lattices.clone()
    for row, group in enumerate(groups):
        if group is None:
            continue
        size = int(crystals.num_atoms[row])
        numbers = crystals.atomic_numbers[row, :size].numpy()
        try:
            cell = Cell.from_arrays(numbers, coords[row, :size].numpy(), lattices[row].numpy())
        except DataError:  # numbers that are not finite: such a crystal fails its filters
            continue
        if (moved := onto_space_group(cell, group)) is not None:
            onto, displacement[row] = moved
            coords[row, :size] = torch.as_tensor(np.asarray(onto.frac_coords)).to(coords) % 1.0
            lattices[row] = torch.as_tensor(np.asarray(onto.lattice)).to(lattices)
    return replace(crystals, frac_coords=coords, lattices=lattices), displacement
