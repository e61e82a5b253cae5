"""What the computing is done on: it changes how fast crystals come, and not which."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import field_validator

from crystal_ldm.config.numbers import Whole, short
from crystal_ldm.nn.device_and_precision import PRECISIONS
from crystal_ldm.sampling.schema import Settings, option

AUTO_BATCH_VALUES = 327_680
"""Atoms times hidden size in an automatic batch: what a core's cache likes."""


class Compute(Settings):
    """Batch size, precision and device. Crystals in bfloat16 differ by its rounding."""

    batch_size: Whole | str = option(
        "auto", "Crystals made at once; auto: as many as the cache likes", low=None
    )
    precision: str = option(
        "auto",
        "bfloat16 is faster where the hardware has it; auto: float32, the same crystals anywhere",
        choices=PRECISIONS,
    )
    device: str = option("auto", "cpu, cuda, mps; auto: where the model is")
    compile: bool = option(
        False, "Whether torch.compile fuses the denoiser's small operations (needs a C++ compiler)"
    )

    @field_validator("device", mode="before")
    @classmethod
    def _name_of_device(cls, device: Any) -> Any:
        return str(device) if isinstance(device, torch.device) else device

    @field_validator("batch_size")
    @classmethod
    def _size(cls, size: int | str) -> int | str:
        if size != "auto" and not (isinstance(size, int) and 1 <= size <= 1_000_000):
            raise ValueError(
                f"batch_size must be 'auto' or a whole number from 1 to 1000000, not {short(size)}."
            )
        return size

    def crystals_in_batch(self, num_atoms: int, hidden_size: int) -> int:
        """Return how many crystals of up to `num_atoms` atoms a denoiser should make at once."""
        if isinstance(self.batch_size, int):
            return self.batch_size
        return max(1, AUTO_BATCH_VALUES // (hidden_size * max(num_atoms, 1)))
