"""Compositions as sequences of (element, count), and what may come next in one.

Elements are named by their place in the order of electronegativity, 1 … 118, so that the cations
come first and the anions' counts are chosen last, when the charge to balance is known. Of each
composition a part may be given, as numbers of atoms by element; a sequence holds at least those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from crystal_ldm.crystals import MAX_Z
from crystal_ldm.crystals.elements import electronegativity_rank

PLACES = MAX_Z + 1
"""Places of elements; 0 is none: the start of a sequence, and what follows its end."""


@lru_cache(maxsize=1)
def place_of_element() -> Tensor:
    """Return the place (119,) of each atomic number."""
    return torch.as_tensor(electronegativity_rank()).long()


@lru_cache(maxsize=1)
def element_at_place() -> Tensor:
    """Return the atomic number (119,) at each place."""
    return place_of_element().argsort()


def counts_by_place(atomic_numbers: Tensor) -> Tensor:
    """Return how many atoms of each element crystals (B, N) have, (B, 119); open ones left out."""
    counts = torch.zeros(len(atomic_numbers), PLACES, dtype=torch.long)
    counts.scatter_add_(1, place_of_element()[atomic_numbers], torch.ones_like(atomic_numbers))
    counts[:, 0] = 0
    return counts


def mask_by_place(elements: Tensor) -> Tensor:
    """Return a mask of elements (…, 119) by place instead of atomic number; place 0 is none."""
    mask = elements[..., element_at_place()]
    mask[..., 0] = False
    return mask


@dataclass
class Sequences:
    """Compositions as places and counts (B, M), 0 after the end; see the module."""

    places: Tensor
    counts: Tensor

    @classmethod
    def of(cls, counts: Tensor) -> Sequences:
        """Return the sequences of compositions (B, 119) by place."""
        order = (counts > 0).long().cumsum(dim=1) - 1
        rows, places = counts.nonzero(as_tuple=True)
        width = int(order.max()) + 1 if len(rows) else 1
        sequences = cls(*(torch.zeros(len(counts), width, dtype=torch.long) for _ in range(2)))
        sequences.places[rows, order[rows, places]] = places
        sequences.counts[rows, order[rows, places]] = counts[rows, places]
        return sequences


@dataclass
class State:
    """Where sequences stand, of any leading shape (…).

    Attributes:
        previous: (…,) place of the last element, 0 at the start.
        spare: (…,) open atoms that no element has taken yet.
        given: (…, 119) atoms that are given, of elements still to come.
        allowed: (…, 119) bool, what open atoms may become.
    """

    previous: Tensor
    spare: Tensor
    given: Tensor
    allowed: Tensor

    @classmethod
    def stack(cls, states: Sequence[State]) -> State:
        """Return states (…) as one (…, M)."""
        return cls(
            torch.stack([s.previous for s in states], dim=-1),
            torch.stack([s.spare for s in states], dim=-1),
            torch.stack([s.given for s in states], dim=-2),
            torch.stack([s.allowed for s in states], dim=-2),
        )

    @property
    def left(self) -> Tensor:
        """Atoms (…,) still to come."""
        return self.spare + self.given.sum(dim=-1)

    @property
    def last_allowed(self) -> Tensor:
        """The last place (…, 1) that open atoms may take."""
        return (self.allowed * torch.arange(PLACES)).amax(dim=-1, keepdim=True)

    def element_choices(self) -> Tensor:
        """Return (…, 119) bool: the places that may come next.

        None before a given element is passed over, and as long as there are spare atoms one that
        may take them stays within reach.
        """
        places = torch.arange(PLACES)
        is_given = self.given > 0
        next_given = torch.where(is_given.any(-1), is_given.long().argmax(-1), PLACES)
        spare = (self.spare > 0).unsqueeze(-1)
        within = (places > self.previous.unsqueeze(-1)) & (places <= next_given.unsqueeze(-1))
        reach = ~spare | (places <= self.last_allowed)
        return within & reach & (is_given | (self.allowed & spare))

    def count_choices(self, chosen: Tensor, max_atoms: int) -> Tensor:
        """Return (…, max_atoms + 1) bool: how many atoms the chosen element (…,) may have."""
        index = chosen.unsqueeze(-1)
        given = self.given.gather(-1, index)
        grows = self.allowed.gather(-1, index)
        high = torch.where(grows, given + self.spare.unsqueeze(-1), given)
        low = torch.where(self.last_allowed > index, given.clamp_min(1), high)
        counts = torch.arange(max_atoms + 1)
        return (counts >= low) & (counts <= high)

    def after(self, chosen: Tensor, count: Tensor) -> State:
        """Return the state after `count` atoms of the chosen element; both (…,)."""
        index = chosen.unsqueeze(-1)
        taken = count - self.given.gather(-1, index).squeeze(-1)
        return State(chosen, self.spare - taken, self.given.scatter(-1, index, 0), self.allowed)
