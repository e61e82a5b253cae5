"""Categories and element sets as conditions."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crystal_ldm.config.numbers import Natural, Probability
from crystal_ldm.crystals import MAX_Z
from crystal_ldm.crystals.elements import atomic_number, element_set
from crystal_ldm.crystals.padding import Values, plain_list
from crystal_ldm.errors import ConfigError, DataError, FormulaError, RequestError, suggest
from crystal_ldm.ldm_module.condition.base import Condition


class CategoryCondition(Condition):
    """One of a list of words, such as a crystal system.

    A value that differs from exactly one option in capitals or surrounding blanks alone is that
    option.

    Args:
        options: words, numbers or truth values, each once. Fixed in the configuration, so that a
            checkpoint says what they are.
        label, unit, description, dropout, adapter: see `Condition`.
    """

    kind = "category"

    def __init__(
        self,
        options: Sequence[str | bool | float],
        label: str | None = None,
        unit: str = "",
        description: str = "",
        dropout: Probability = 0.2,
        adapter: Natural = 0,
    ) -> None:
        super().__init__(label, unit, description, dropout, adapter)
        self.options = tuple(str(_word(option)) for option in options)

    def build_layers(self, hidden_size: int) -> None:
        """Make the embedding table."""
        self.table = nn.Embedding(len(self.options), hidden_size)
        nn.init.normal_(self.table.weight, std=0.02)

    def set_data(self, values: Values) -> None:
        """Check that the training set has the categories, and each is another one; warn of values
        that are none of them, and of those that no crystal has."""
        if len(set(self.options)) < max(1, len(self.options)):
            raise ConfigError(
                f"The condition '{self.name}' needs options, each of them once, not "
                f"{', '.join(self.options) or 'none'}."
            )
        if all(v is None for v in self.known(values)):
            has = sorted({w for v in plain_list(values) if (w := _word(v)) is not None})
            raise DataError(
                f"The label '{self.label}' has none of {', '.join(self.options)}; it has "
                f"{', '.join(has[:10]) or 'no value'}{', …' if len(has) > 10 else ''}."
            )
        had = {self._option(v) for v in plain_list(values)}
        self._warn(values, [option for option in self.options if option not in had])

    def extend_data(self, values: Values) -> None:
        """Warn of values that are no category."""
        self._warn(values)

    def _warn(self, values: Values, unseen: Sequence[str] = ()) -> None:
        """Say in one sentence which values are left out, and which options no crystal has."""
        words = [w for v in plain_list(values) if (w := self._option(v)) is not None]
        others = Counter(w for w in words if w not in self.options)
        parts = []
        if others:
            named = ", ".join(f"{word} {n:,}" for word, n in others.most_common(10))
            parts.append(
                f"{others.total():,} of {len(words):,} values are none of its options and are "
                f"left out ({named}{', …' if len(others) > 10 else ''})"
            )
        if unseen:
            parts.append(
                f"no training crystal has {', '.join(unseen)}, which the model cannot learn"
            )
        if parts:
            warnings.warn(f"Condition '{self.name}': {'; '.join(parts)}.", stacklevel=3)

    def _option(self, value: Any) -> str | None:
        """Return the option that a value means, else its word; None: there is no value."""
        word = _word(value)
        if word is None or word in self.options:
            return word
        plain = word.strip().casefold()
        alike = [option for option in self.options if option.strip().casefold() == plain]
        return alike[0] if len(alike) == 1 else word

    def known(self, values: Values) -> Values:
        """Return values with None for those that are no category."""
        return [v if self._option(v) in self.options else None for v in plain_list(values)]

    def encode(self, values: Values) -> Tensor:
        """Return indices (B, 1)."""
        words = [self._option(v) for v in plain_list(values)]
        unknown = [word for word in words if word is not None and word not in self.options]
        if unknown:
            raise RequestError(
                f"{self.name} = '{unknown[0]}' is not one of the categories of this model: "
                f"{', '.join(self.options)}.{suggest(unknown[0], self.options)}"
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
    width = MAX_Z + 1

    def build_layers(self, hidden_size: int) -> None:
        """Make one vector for each element; a set is the sum of its own."""
        self.table = nn.Linear(MAX_Z + 1, hidden_size)

    def set_data(self, values: Values) -> None:
        """Check that the training set has element sets."""
        if all(v is None for v in self.known(values)):
            raise DataError(f"The label '{self.label}' is a list of elements in no row.")

    def known(self, values: Values) -> Values:
        """Return values with None for those that are no set of elements."""
        return [v if _is_element_set(v) else None for v in plain_list(values)]

    def encode(self, values: Values) -> Tensor:
        """Return flags (B, 119) by atomic number."""
        rows = []
        for value in plain_list(values):
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


def _word(value: Any) -> str | None:
    """Return a category as text: 225.0 of a table as 225, truth values as True and False.

    Other numbers are those that a data set's float32 holds.
    """
    if value is None or value != value:
        return None
    if isinstance(value, float):
        return str(int(value) if value.is_integer() else np.float32(value))
    text = str(value)
    return text.capitalize() if text.lower() in ("true", "false") else text


def _is_element_set(value: Any) -> bool:
    try:
        return isinstance(value, str | list | tuple) and len(element_set(value)) > 0
    except FormulaError:
        return False
