"""A number as a condition, such as the band gap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crystal_ldm.config.numbers import Count, Natural, Probability
from crystal_ldm.crystals.padding import Values
from crystal_ldm.errors import ConfigError, DataError, RequestError
from crystal_ldm.ldm_module.condition.base import Condition

_LOWEST, _STEP = -2.0, 0.4  # of the frequencies' logarithms to base 2
_BINS = 40
_MARGIN = 1e-4
"""Standard deviations by which a value may miss the range: numbers are rounded when shown."""
_OUTLYING = 100
"""How many times as large the spread of a label must not be with its farthest hundredth as without:
the shortest wavelength of the embedding is 0.4 standard deviations."""


class ScalarCondition(Condition):
    """A number with a unit.

    Embedded through its standardised value and sines and cosines of it, so that close values stay
    distinguishable (Tancik et al., Fourier Features, 2020). Values beyond those of the training set
    are refused.

    Args:
        label, unit, description, dropout, adapter: see `Condition`.
        minimum, maximum: bounds that hold whatever the training set has; labels beyond them count
            as the bound, as a compound below the convex hull of the others counts as on it.
        mlp_size: width of the hidden layer of the embedding; None: the embedding's own.
        frequencies: sines and cosines with wavelengths from 25 standard deviations down to 0.4; few
            of them, the long ones, make a smooth embedding, which a few crystals can teach.
        calibration: pairs (target, number that the networks are given for it), where crystals of a
            target were found to miss it: linear between pairs, the last number beyond the last
            pair, and up to the first target each target itself. Labels in training stay what they
            are.

    Raises:
        ConfigError: unless targets and numbers of the calibration rise, and the minimum is below
            the maximum.
    """

    kind = "scalar"

    def __init__(
        self,
        label: str | None = None,
        unit: str = "",
        description: str = "",
        dropout: Probability = 0.2,
        minimum: float | None = None,
        maximum: float | None = None,
        adapter: Natural = 0,
        mlp_size: Count | None = None,
        frequencies: Natural = 16,
        calibration: Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__(label, unit, description, dropout, adapter)
        self.minimum = minimum
        self.maximum = maximum
        if minimum is not None and maximum is not None and minimum >= maximum:
            raise ConfigError(
                f"A condition's minimum {minimum:g} is not below its maximum {maximum:g}."
            )
        self.mlp_size = mlp_size
        self.frequencies = frequencies
        self.take_calibration(calibration or [])

    def take_calibration(self, pairs: Sequence[Sequence[float]]) -> None:
        """Take pairs (target, number given for it), see the class; none: there is no calibration.

        Raises:
            ConfigError: unless targets and numbers rise.
        """
        table = np.array(pairs, dtype=float) if _are_pairs(pairs) else None
        if table is None or not bool((np.diff(table, axis=0) > 0).all()):
            raise ConfigError(
                "A calibration is pairs of a target and a number, both rising, such as "
                f"[[0.05, 0.05], [0.2, 0.6]], not {pairs!r:.60}."
            )
        self.register_buffer("calibration", torch.tensor(table.tolist()) if len(table) else None)
        self.calibration: Tensor | None

    def build_layers(self, hidden_size: int) -> None:
        """Make layers, and buffers for what the training set is like."""
        features, width = 2 * self.frequencies + 2, self.mlp_size or hidden_size
        self.mlp = nn.Sequential(
            nn.Linear(features, width), nn.SiLU(), nn.Linear(width, hidden_size)
        )
        self.register_buffer("statistics", torch.tensor([0.0, 1.0, -math.inf, math.inf]))
        self.register_buffer("edges", torch.linspace(0.0, 1.0, _BINS + 1))
        self.register_buffer("counts", torch.zeros(_BINS))
        self.statistics: Tensor
        self.edges: Tensor
        self.counts: Tensor

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value that may be asked for."""
        low, high = self.statistics[2].item(), self.statistics[3].item()
        if self.minimum is not None:
            low = max(low, self.minimum)
        if self.maximum is not None:
            high = min(high, self.maximum)
        return low, high

    def set_data(self, values: Values) -> None:
        """Take mean, spread, range and histogram of the training set."""
        if not isinstance(values, Tensor):
            raise DataError(f"The label '{self.label}' is not a number in every row.")
        finite = self._within(values[values.isfinite()].double())
        if len(finite) < 10:
            raise DataError(f"The label '{self.label}' is given for {len(finite)} crystals only.")
        low, high = finite.min(), finite.max()
        if low == high:
            raise DataError(
                f"The label '{self.label}' is {self._told(low)} for every crystal: there is "
                "nothing to learn from it."
            )
        self._refuse_outliers(finite)
        self.statistics.copy_(torch.stack([finite.mean(), finite.std(), low, high]))
        self.edges.copy_(torch.linspace(low.item(), high.item(), _BINS + 1))
        self.counts.copy_(torch.histc(finite, _BINS, low.item(), high.item()))

    def _refuse_outliers(self, values: Tensor) -> None:
        """Refuse numbers (n,) of which a hundredth makes all others look alike.

        Raises:
            DataError: naming the farthest.
        """
        order = (values - values.median()).abs().argsort()
        others, far = values[order[: -max(1, len(values) // 100)]], values[order[-1]]
        if 0 < others.std() < values.std() / _OUTLYING:
            raise DataError(
                f"The label '{self.label}' reaches {self._told(far)}, and nearly all others lie "
                f"from {others.min():g} to {others.max():g}: the model could not tell those apart. "
                "Correct it, or give the condition a `maximum` and `minimum`."
            )

    def _told(self, value: Tensor) -> str:
        return f"{value:g} {self.unit}".strip()

    def extend_data(self, values: Values) -> None:
        """Widen the range to that of a further training set."""
        if isinstance(values, Tensor) and bool(values.isfinite().any()):
            finite = self._within(values[values.isfinite()].float())
            self.statistics[2] = torch.minimum(self.statistics[2], finite.min())
            self.statistics[3] = torch.maximum(self.statistics[3], finite.max())

    def known(self, values: Values) -> Values:
        """Return values (B,) with NaN for those out of range, and for text."""
        if not isinstance(values, Tensor):
            return torch.full((len(values),), torch.nan)
        values = self._within(values.float())
        return values.where(~self._outside(values), torch.nan)

    def _outside(self, values: Tensor) -> Tensor:
        """Return (B,) bool: which values are out of `bounds`, beyond rounding."""
        (low, high), margin = self.bounds, _MARGIN * self.statistics[1].item()
        return (values < low - margin) | (values > high + margin) | values.isinf()

    def _within(self, values: Tensor) -> Tensor:
        if self.minimum is None and self.maximum is None:
            return values
        return values.clamp(self.minimum, self.maximum)

    def encode(self, values: Values) -> Tensor:
        """Return values (B, 1). Each must be a number within `bounds`, or NaN."""
        if not isinstance(values, Tensor) or values.ndim != 1:
            unit = f" ({self.unit})" if self.unit else ""
            raise RequestError(
                f"'{self.name}' must be a number{unit} or a range of two, such as [1, 3], not "
                f"{str(list(values))[1:-1]}."
            )
        low, high = self.bounds
        outside = self._outside(values)
        if bool(outside.any()):
            wrong = values[outside][0].item()
            raise RequestError(
                f"{self.name} = {wrong:g} {self.unit} is outside what this model was trained for, "
                f"{low:g} to {high:g} {self.unit}."
            )
        return values.float().unsqueeze(1).to(self.null.device)

    def calibrated(self, encoded: Tensor) -> Tensor:
        """Return what the networks are given for requested values (B, 1), see the class."""
        if self.calibration is None:
            return encoded
        targets, numbers = self.calibration.cpu().double().numpy().T
        given = np.interp(encoded.cpu().double().numpy(), targets, numbers)
        return torch.from_numpy(given).to(encoded).where(encoded > targets[0], encoded)

    def embed(self, encoded: Tensor) -> Tensor:
        """Return embeddings (B, H)."""
        mean, std = self.statistics[0], self.statistics[1]
        standard = (encoded - mean) / std
        last = _LOWEST + _STEP * (self.frequencies - 1)
        exponents = torch.linspace(_LOWEST, last, self.frequencies, device=encoded.device)
        frequency = 2.0**exponents
        angles = standard * frequency
        zero = (encoded == 0).float()  # a metal is a kind of its own, not a small gap
        return self.mlp(torch.cat([standard, zero, angles.sin(), angles.cos()], dim=1))

    def describe(self) -> dict[str, Any]:
        """Return range and histogram of the training set besides name and unit."""
        low, high = self.bounds
        histogram = {"edges": self.edges.tolist(), "counts": self.counts.tolist()}
        return {**super().describe(), "min": low, "max": high, "histogram": histogram}


def _are_pairs(pairs: Sequence[Sequence[float]]) -> bool:
    return all(len(pair) == 2 and all(map(math.isfinite, pair)) for pair in pairs)
