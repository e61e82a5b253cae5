"""Categories and element sets as conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from crystal_ldm.crystals import MAX_Z
from crystal_ldm.crystals.elements import atomic_number, element_set
from crystal_ldm.crystals.padding import Values
from crystal_ldm.errors import DataError, FormulaError, RequestError, suggest
from crystal_ldm.ldm_module.condition.base import Condition


class CategoryCondition(Condition):
    """One of a list of words, such as a crystal system.

    Args:
        options: the words. Fixed in the configuration, so that a checkpoint says what they are.
        label, unit, description, dropout, adapter: see `Condition`.
    """

    kind = "category"

    def __init__(
        self,
        options: Sequence[str],
        label: str | None = None,
        unit: str = "",
        description: str = "",
        dropout: float = 0.2,
        adapter: int = 0,
    ) -> None:
        super().__init__(label, unit, description, dropout, adapter)
        self.options = tuple(str(option) for option in options)

    def build_layers(self, hidden_size: int) -> None:
        """Make the embedding table."""
        self.table = nn.Embedding(len(self.options), hidden_size)
        nn.init.normal_(self.table.weight, std=0.02)

    @property
    def width(self) -> int:
        """The category's index."""
        return 1

    def set_data(self, values: Values) -> None:
        """Check that the training set has the categories."""
        if not any(_word(v) in self.options for v in _plain(values)):
            raise DataError(f"The label '{self.label}' has none of {', '.join(self.options)}.")

    def known(self, values: Values) -> Values:
        """Return values with None for those that are no category."""
        return [v if _word(v) in self.options else None for v in _plain(values)]

    def encode(self, values: Values) -> Tensor:
        """Return indices (B, 1)."""
        words = [_word(v) for v in _plain(values)]
        unknown = [word for word in words if word is not None and word not in self.options]
        if unknown:
            raise RequestError(
                f"{self.name} = '{unknown[0]}' is not one of the categories that this model was "
                f"trained on: {', '.join(self.options)}.{suggest(unknown[0], self.options)}"
            )
        index = [torch.nan if w is None else float(self.options.index(w)) for w in words]
        return torch.tensor(index, device=self.null.device).unsqueeze(1)

    def embed(self, encoded: Tensor) -> Tensor:
        """Return embeddings (B, H)."""
        return self.table(encoded[:, 0].long())

    def describe(self) -> dict[str, Any]:
        """Return the options besides the name."""
        return {**super().describe(), "options": list(self.options)}


class ElementSetCondition(Condition):
    """A set of elements, such as the chemical system that a crystal belongs to."""

    kind = "element_set"

    def build_layers(self, hidden_size: int) -> None:
        """Make one vector for each element; a set is the sum of its own."""
        self.table = nn.Linear(MAX_Z + 1, hidden_size)

    @property
    def width(self) -> int:
        """One flag for each element."""
        return MAX_Z + 1

    def set_data(self, values: Values) -> None:
        """Check that the training set's values are element sets."""
        try:
            if not any(v is not None and element_set(v) for v in _plain(values)):
                raise DataError(f"The label '{self.label}' is given for no crystal.")
        except FormulaError as error:
            raise DataError(
                f"The label '{self.label}' is not a list of elements: {error}"
            ) from None

    def encode(self, values: Values) -> Tensor:
        """Return flags (B, 119) by atomic number."""
        rows = []
        for value in _plain(values):
            row = torch.zeros(MAX_Z + 1)
            if value is None:
                row += torch.nan
            else:
                row[[atomic_number(symbol) for symbol in element_set(value)]] = 1.0
            rows.append(row)
        return torch.stack(rows).to(self.null.device)

    def embed(self, encoded: Tensor) -> Tensor:
        """Return embeddings (B, H)."""
        return self.table(encoded)


def _plain(values: Values) -> list[Any]:
    return values.tolist() if isinstance(values, Tensor) else list(values)


def _word(value: Any) -> str | None:
    """Return a category as text; numbers of a table (225.0) as whole numbers where they are."""
    if value is None or value != value:
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
