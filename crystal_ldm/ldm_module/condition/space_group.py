"""The space group as a condition."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.padding import Values, plain_list
from crystal_ldm.crystals.symmetry.space_groups import (
    NUM_GROUPS,
    group_number,
    group_traits,
    space_group,
)
from crystal_ldm.errors import DataError, RequestError
from crystal_ldm.ldm_module.condition.base import Condition
from crystal_ldm.ldm_module.training_crystals import GROUP_TOLERANCE
from crystal_ldm.parallel.executor import map_items

_OWN_FEATURES = 16
_MANY = 1000
"""From so many crystals on, their space groups take long enough for a progress bar."""
_TIMEOUT_S = 600.0  # for one crystal


class SpaceGroupCondition(Condition):
    """One of the 230 space groups, by its number or Hermann–Mauguin symbol.

    A group is embedded through crystal system, point group and centring, which it shares with
    others, and through a vector of its own: so groups with few training crystals profit from their
    relatives. Where a data set has no such label, spglib finds the groups of its crystals.

    Args: as for `Condition`.
    """

    kind = "space_group"
    starts_at_zero = True

    def build_layers(self, hidden_size: int) -> None:
        """Make the table, and one vector for each trait of a group."""
        traits = torch.tensor(group_traits(), dtype=torch.float32)
        self.register_buffer("traits", traits, persistent=False)
        self.traits: Tensor
        self.register_buffer("counts", torch.zeros(NUM_GROUPS))
        self.counts: Tensor
        self.table = nn.Embedding(NUM_GROUPS, _OWN_FEATURES)
        nn.init.normal_(self.table.weight, std=0.3)
        self.project = nn.Linear(traits.shape[1] + _OWN_FEATURES, hidden_size, bias=False)
        nn.init.zeros_(self.project.weight)

    def values_of(self, crystals: CrystalBatch) -> Values | None:
        """Return the data set's label, else the groups that spglib finds, many on all cores."""
        values = super().values_of(crystals)
        if values is None and crystals.frac_coords is not None:
            outcomes = map_items(
                partial(space_group, symprec=GROUP_TOLERANCE), crystals.to_cells(),
                timeout=_TIMEOUT_S, progress=len(crystals) >= _MANY, label="Finding space groups",
            )  # fmt: skip
            return [float(found.value) if found.value else None for found in outcomes]
        return values

    def set_data(self, values: Values) -> None:
        """Count the groups of the training set."""
        numbers = [number for number in self.known(values) if number is not None]
        if not numbers:
            raise DataError(f"The label '{self.label}' has no space group in any row.")
        self.counts.copy_(torch.bincount(torch.tensor(numbers), minlength=NUM_GROUPS + 1)[1:])

    def extend_data(self, values: Values) -> None:
        """Count those of a further training set, too."""
        numbers = [number for number in self.known(values) if number is not None]
        counts = torch.bincount(torch.tensor(numbers, dtype=torch.long), minlength=NUM_GROUPS + 1)
        self.counts += counts[1:]

    def known(self, values: Values) -> Values:
        """Return numbers, with None for what is no space group."""
        numbers: list[int | None] = []
        for value in plain_list(values):
            try:
                numbers.append(group_number(value))
            except RequestError:
                numbers.append(None)
        return numbers

    def encode(self, values: Values) -> Tensor:
        """Return numbers (B, 1)."""
        numbers = [group_number(value) for value in plain_list(values)]
        rows = [torch.nan if n is None else float(n) for n in numbers]
        return torch.tensor(rows, device=self.null.device).unsqueeze(1)

    def embed(self, encoded: Tensor) -> Tensor:
        """Return embeddings (B, H); of a null condition, which is 0 here, those of the first."""
        index = (encoded[:, 0].long() - 1).clamp_min(0)
        own = self.table(index)
        return self.project(torch.cat([self.traits.to(own)[index], own], dim=1))

    def act(self, embedding: Tensor) -> Tensor:
        """Return the embedding, which starts at zero by itself, and what the adapter adds to it."""
        if self.adapter_layers is None:
            return embedding
        added = self.adapter_layers(embedding)
        return added + F.pad(embedding, (0, added.shape[1] - embedding.shape[1]))

    def describe(self) -> dict[str, Any]:
        """Return the range of numbers besides the name."""
        return {**super().describe(), "min": 1, "max": NUM_GROUPS}
