"""What a condition is. A new kind is a class with these methods, listed in the configuration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crystal_ldm.config.numbers import Natural, Probability
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.padding import Values
from crystal_ldm.errors import DataError, suggest
from crystal_ldm.random import uniform


class Condition(nn.Module, ABC):
    """A property of the whole crystal that generation can be conditioned on.

    Args:
        label: name of the data set's label; None: the condition's own name.
        unit: unit of its values, for display.
        description: one line for display.
        dropout: share of training crystals for which the condition is left out, each condition on
            its own, so that the model also learns what crystals are like without it.
        adapter: rank of the layers through which a condition acts that was added to a trained model
            (see `ConditionAdapter`); 0: it has been there from the start.
    """

    kind: str
    starts_at_zero = False
    """Whether its untrained embedding is zero, so that it can be added without an adapter."""
    name: str = ""
    width = 1
    """F, the numbers that encode a value."""

    def __init__(
        self,
        label: str | None = None,
        unit: str = "",
        description: str = "",
        dropout: Probability = 0.2,
        adapter: Natural = 0,
    ) -> None:
        super().__init__()
        self.label = label
        self.unit = unit
        self.description = description
        self.dropout = dropout
        self.adapter = adapter

    def build(self, name: str, hidden_size: int, modulation_size: int = 0) -> None:
        """Make the layers; called once, by the model that the condition is part of.

        Args:
            name: of the condition.
            hidden_size: H, width of the network's condition vector.
            modulation_size: M, numbers that an added condition may add to the modulation of the
                network's blocks.
        """
        self.name = name
        self.label = self.label or name
        self.null = nn.Parameter(torch.zeros(hidden_size))
        self.build_layers(hidden_size)
        self.adapter_layers = (
            ConditionAdapter(hidden_size, hidden_size + modulation_size, self.adapter)
            if self.adapter
            else None
        )

    @abstractmethod
    def build_layers(self, hidden_size: int) -> None:
        """Make the layers of `embed`."""

    def values_of(self, crystals: CrystalBatch) -> Values | None:
        """Return the values of a data set's crystals; None: it does not have the label."""
        return crystals.conditions.get(self.label or self.name)

    @abstractmethod
    def set_data(self, values: Values) -> None:
        """Note what the training set's values are like.

        Raises:
            DataError: if they cannot be used.
        """

    def extend_data(self, values: Values) -> None:
        """Note the values of a further training set, of a model that was trained before."""

    def known(self, values: Values) -> Values:
        """Return a data set's values, those unlike the training set's replaced by missing ones."""
        return values

    @abstractmethod
    def encode(self, values: Values) -> Tensor:
        """Return values, one a row, as a float tensor (B, F); a row of NaN is the null condition.

        Raises:
            RequestError: for a value that the model was not trained for.
        """

    def take_calibration(self, pairs: Sequence[Sequence[float]]) -> None:
        """Take pairs (target, number given for it); kinds without numbers have none."""

    def calibrated(self, encoded: Tensor) -> Tensor:
        """Return encoded values (B, F) that the networks are given for requested ones (B, F)."""
        return encoded

    @abstractmethod
    def embed(self, encoded: Tensor) -> Tensor:
        """Return embeddings (B, H) of encoded values that are not null."""

    def null_encoding(self, size: int) -> Tensor:
        """Return `size` null conditions, (size, F)."""
        return torch.full((size, self.width), torch.nan, device=self.null.device)

    def forward(self, encoded: Tensor) -> Tensor:
        """Return embeddings of encoded values (B, F), the null embedding for NaN.

        They are (B, H), and of an added condition (B, H + M): the modulation comes last.
        """
        missing = encoded.isnan().any(dim=1)
        known = self.embed(torch.where(missing.unsqueeze(1), torch.zeros_like(encoded), encoded))
        known = self.act(known)
        null = F.pad(self.null, (0, known.shape[1] - len(self.null)))
        return torch.where(missing.unsqueeze(1), null.to(known.dtype), known)

    def act(self, embedding: Tensor) -> Tensor:
        """Return what the network gets of an embedding (B, H): (B, H) or (B, H + M)."""
        return embedding if self.adapter_layers is None else self.adapter_layers(embedding)

    def describe(self) -> dict[str, Any]:
        """Return what a control for the condition has to know."""
        return {
            "name": self.name,
            "kind": self.kind,
            "label": self.label,
            "unit": self.unit,
            "description": self.description,
        }


class ConditionAdapter(nn.Sequential):
    """How a condition acts that was added to a trained model: low-rank layers that start at zero.

    Beside its vector, the condition adds to the shifts, scales and gates of each block (adaLN), as
    LoRA does to a layer's output (Hu et al., LoRA, 2021). The model is the old one until they have
    learnt, and stays it where the condition is not given and its null embedding is zero.
    """

    def __init__(self, hidden_size: int, output_size: int, rank: int) -> None:
        super().__init__(
            nn.Linear(hidden_size, rank), nn.SiLU(), nn.Linear(rank, output_size, bias=False)
        )
        nn.init.zeros_(self[-1].weight)  # type: ignore[arg-type]


def given_names(encoded: Mapping[str, Tensor]) -> list[str]:
    """Return the conditions, of encoded values (B, F), that at least one crystal gives."""
    return [name for name, values in encoded.items() if not values.isnan().any(dim=1).all()]


def leave_out(
    conditions: Mapping[str, Condition],
    encoded: Mapping[str, Tensor],
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Return encoded values (B, F) for a training step, some null: each condition on its own."""
    kept = {}
    for name, condition in conditions.items():
        values = encoded[name]
        draw = uniform((len(values), 1), generator).to(values.device)
        kept[name] = values.masked_fill(draw < condition.dropout, torch.nan)
    return kept


def values_of(condition: Condition, crystals: CrystalBatch) -> Values:
    """Return a condition's values of a data set's crystals.

    Raises:
        DataError: if the data set does not have its label.
    """
    values = condition.values_of(crystals)
    if values is None:
        label, labels = condition.label or condition.name, crystals.conditions
        raise DataError(
            f"The data set has no label '{label}'.{suggest(label, labels)} "
            f"It has: {', '.join(labels) or 'none'}."
        )
    return values
