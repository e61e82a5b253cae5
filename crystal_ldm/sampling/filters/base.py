"""What a filter is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from crystal_ldm.config.numbers import short
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.sampling.named import Named


class Filter(Named):
    """A test that each crystal has to pass; one that fails is made again, up to `attempts` times.

    Earlier filters weigh more: of several attempts that fail, the one is kept that passes most.

    A filter of one's own is a subclass with its fields and `passes`:

        class DensityAbove(Filter):
            limit: float = option(5.0, "Crystals of a lower density are made again", unit="g/cm³")

            def passes(self, ldm, crystals):
                ...
    """

    family = "filters"
    after_others: ClassVar[bool] = False
    """Whether it only looks at crystals that pass all filters before it, since it takes long."""
    uses_training_set: ClassVar[bool] = False
    """Whether its answer depends on the crystals that the model was trained on."""

    @abstractmethod
    def passes(self, ldm: LDMModule, crystals: CrystalBatch) -> Tensor:
        """Return (B,) bool for finished crystals; their `conditions` are what was asked for."""

    def check(self, ldm: LDMModule) -> None:
        """Raise `RequestError` if the filter cannot work with a model."""


def passed_filters(
    ldm: LDMModule, filters: Sequence[Filter], crystals: CrystalBatch
) -> dict[str, Tensor]:
    """Return (B,) bool for each filter by name; True where one did not look.

    Of several filters of one kind all have to be passed.
    """
    passed: dict[str, Tensor] = {}
    so_far = torch.ones(len(crystals), dtype=torch.bool)
    for one in filters:
        right = torch.ones(len(crystals), dtype=torch.bool)
        rows = so_far.nonzero().flatten() if one.after_others else torch.arange(len(crystals))
        if len(rows):
            right[rows] = _answer(one, ldm, crystals[rows])
        passed[one.kind] = passed.get(one.kind, right) & right
        so_far = so_far & right
    return passed


def _answer(one: Filter, ldm: LDMModule, crystals: CrystalBatch) -> Tensor:
    answer = one.passes(ldm, crystals)
    try:
        right = torch.as_tensor(answer, device="cpu")
    except (TypeError, ValueError, RuntimeError):
        right = torch.zeros(0)
    if right.dtype != torch.bool or right.shape != (len(crystals),):
        raise RequestError(
            f"The filter {one.kind} must answer true or false for each of {len(crystals)} "
            f"crystals, and not {short(answer)}."
        )
    return right
