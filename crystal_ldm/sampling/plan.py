"""Which crystals a request asks for, and the random numbers that each of them owns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch, ElementRules
from crystal_ldm.crystals.elements import atomic_number
from crystal_ldm.crystals.padding import Values
from crystal_ldm.random import crystal_generator

if TYPE_CHECKING:
    from crystal_ldm.sampling.space_groups import LikelyGroups


class Turns:
    """Whose turn it is, as far as it was asked: `Turns(votes)[number]`.

    The turns are shared out as seats are to votes (D'Hondt's method): who has more votes comes
    earlier and more often, and any number of first turns is in proportion.
    """

    def __init__(self, votes: NDArray[np.float64], taken: int | None = None) -> None:
        """`votes`: (n,); `taken`: who had a turn before the first one, None: nobody."""
        self._votes = votes
        self._had = np.zeros(len(votes), dtype=np.int64)
        if taken is not None:
            self._had[taken] = 1
        self._sequence: list[tuple[int, int]] = []

    def __getitem__(self, number: int) -> tuple[int, int]:
        """Return whose turn it is, 0 to n - 1, and how many turns it had before."""
        while len(self._sequence) <= number:
            seat = int((self._votes / (self._had + 1)).argmax())
            self._sequence.append((seat, int(self._had[seat])))
            self._had[seat] += 1
        return self._sequence[number]


@dataclass
class Draft:
    """One crystal to be made.

    Attributes:
        row, number: its place in the request.
        rules: what its open atoms may become.
        atomic_numbers: (n,), 0 where open; open atoms stand at random places among the given ones,
            since a trained model expects atoms by electronegativity and theirs is not known.
        asked: (n,) what the request gave of them, where the model drew the rest; None: all.
        targets: a value for each condition on the whole crystal.
        generator: the source of its noise.
        attempt: how often it was made before.
        turn: its number among the row's crystals with the same formula units and space group.
    """

    row: int
    number: int
    rules: ElementRules
    atomic_numbers: NDArray[Any]
    targets: dict[str, object]
    generator: np.random.Generator
    attempt: int = 0
    turn: int = 0
    asked: NDArray[Any] | None = None

    @property
    def missing(self) -> list[int]:
        """Atomic numbers of required elements that are not among the known ones."""
        return [z for z in map(atomic_number, self.rules.required) if z not in self.atomic_numbers]

    def complete(self, atomic_numbers: NDArray[Any]) -> None:
        """Take drawn elements (n,), which hold at least the known ones, in the order given."""
        asked, left = np.zeros_like(atomic_numbers), list(self.atomic_numbers)
        for i, z in enumerate(atomic_numbers):
            if z in left:
                left.remove(z)
                asked[i] = z
        self.atomic_numbers, self.asked = atomic_numbers, asked


@dataclass
class Plan:
    """The crystals that a request asks for.

    Attributes:
        request: its rows; None: one row, de novo.
        num_samples: crystals for each row.
        offset: number of the first crystal of each row.
        seed: of all random numbers.
        atom_counts: for de novo, how often each number of atoms occurs.
        first_row: number of the first row, where the rows are part of a larger request.
        groups: settles on one space group, where several were asked for.
    """

    request: CrystalBatch | None
    num_samples: int
    offset: int
    seed: int
    atom_counts: Sequence[int] = field(default_factory=list)
    first_row: int = 0
    groups: LikelyGroups | None = None
    _turns: dict[int, tuple[list[int], Turns]] = field(default_factory=dict)

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield (row, number) of each crystal."""
        rows = 1 if self.request is None else len(self.request)
        numbers = range(self.offset, self.offset + self.num_samples)
        return product(range(self.first_row, self.first_row + rows), numbers)

    def __contains__(self, place: tuple[int, int]) -> bool:
        """Return whether the request asks for a crystal of that row and number."""
        rows = 1 if self.request is None else len(self.request)
        row, number = place[0] - self.first_row, place[1] - self.offset
        return 0 <= row < rows and 0 <= number < self.num_samples

    @cached_property
    def _rules(self) -> list[ElementRules]:
        return [] if self.request is None else self.request.rules()

    def _units(self, i: int) -> tuple[list[int], Turns] | None:
        """Return which formula units the crystals of a row have, and their turns; None: one."""
        shares = None if self.request is None else self.request.units()[i]
        if not isinstance(shares, Mapping):
            return None
        if i not in self._turns:
            self._turns[i] = list(shares), Turns(np.array(list(shares.values())))
        return self._turns[i]

    def draft(self, row: int, number: int, attempt: int = 0) -> Draft:
        """Return a crystal of the request; its random numbers depend on seed and place alone."""
        path = (row, number) if attempt == 0 else (row, number, attempt)
        generator = crystal_generator(self.seed, *path)
        if self.request is None:
            weights = np.asarray(self.atom_counts, dtype=float)
            size = int(generator.choice(len(weights), p=weights / weights.sum()))
            return Draft(
                row, number, ElementRules(), np.zeros(size, int), {}, generator, attempt, number
            )
        i = row - self.first_row
        size = int(self.request.num_atoms[i])
        known = self.request.atomic_numbers[i, :size].numpy()
        targets = {
            name: _target(values, i, generator) for name, values in self.request.conditions.items()
        }
        rules, turn = self._rules[i], number
        if (units := self._units(i)) is not None:
            units_of_one, turns = units
            place, turn = turns[number]
            known = known.repeat(units_of_one[place])  # atoms of one element stay together
        known = _place_open_atoms(known, generator)
        draft = Draft(row, number, rules, known, targets, generator, attempt, turn)
        if self.groups is not None:
            self.groups.settle(draft)
        return draft


def _target(values: Values, row: int, generator: np.random.Generator) -> object:
    """Return a row's target; one of a range is drawn uniformly."""
    if isinstance(values, Tensor) and values.ndim == 2:
        low, high = values[row].tolist()
        return float(low + (high - low) * generator.random())
    return float(values[row]) if isinstance(values, Tensor) else values[row]


def _place_open_atoms(known: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
    open_atoms = int((known == 0).sum())
    if open_atoms in (0, len(known)):
        return known
    places = np.sort(generator.choice(len(known), open_atoms, replace=False))
    mixed = np.zeros_like(known)
    mixed[np.setdiff1d(np.arange(len(known)), places)] = known[known > 0]
    return mixed


def require(draft: Draft) -> Draft:
    """Impose required elements that are not in the formula on open atoms drawn at random."""
    missing = draft.missing
    places = np.flatnonzero(draft.atomic_numbers == 0)
    chosen = draft.generator.permutation(places)[: len(missing)]
    draft.atomic_numbers = draft.atomic_numbers.copy()
    draft.atomic_numbers[chosen] = missing[: len(chosen)]
    return draft


def stack_targets(drafts: Sequence[Draft]) -> dict[str, Values]:
    """Return the targets of several crystals by condition."""
    stacked: dict[str, Values] = {}
    for name in drafts[0].targets:
        values = [draft.targets[name] for draft in drafts]
        numbers = all(isinstance(v, float) for v in values)
        stacked[name] = torch.tensor(values) if numbers else values
    return stacked


def noise_for(drafts: Sequence[Draft], width: int, dim: int) -> Tensor:
    """Return standard normal noise (B, width, dim), each crystal's from its own generator.

    A crystal of n atoms draws n · dim numbers, so padding does not move its stream.
    """
    noise = torch.zeros(len(drafts), width, dim)
    for i, draft in enumerate(drafts):
        n = len(draft.atomic_numbers)
        drawn = draft.generator.standard_normal((n, dim), dtype=np.float32)
        noise[i, :n] = torch.from_numpy(drawn)
    return noise


def allowed_elements(drafts: Sequence[Draft], known_to_model: Tensor) -> Tensor:
    """Return (B, 119) bool: what each crystal's open atoms may become."""
    allowed = known_to_model.cpu().repeat(len(drafts), 1)
    for row, draft in zip(allowed, drafts, strict=True):
        if draft.rules.allowed:
            only = torch.zeros_like(row)
            only[[atomic_number(symbol) for symbol in draft.rules.allowed]] = True
            row &= only
        row[[atomic_number(symbol) for symbol in draft.rules.forbidden]] = False
    return allowed
