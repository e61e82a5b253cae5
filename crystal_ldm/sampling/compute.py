"""What the computing is done on: it changes how fast crystals come, and not which."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field, field_validator

from crystal_ldm.config.numbers import Whole
from crystal_ldm.nn.device_and_precision import PRECISIONS
from crystal_ldm.sampling.schema import Settings, option

AUTO_BATCH_VALUES = 327_680
"""Atoms times hidden size in an automatic batch: what a core's cache likes."""


class Compute(Settings):
    """Batch size, precision and device. Crystals in bfloat16 differ by its rounding."""

    batch_size: Annotated[Whole, Field(ge=1, le=1_000_000)] | Literal["auto"] = option(
        "auto", "Crystals made at once; auto: as many as the cache likes"
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

    def crystals_in_batch(self, num_atoms: int, hidden_size: int) -> int:
        """Return how many crystals of up to `num_atoms` atoms a denoiser should make at once."""
        if isinstance(self.batch_size, int):
            return self.batch_size
        return max(1, AUTO_BATCH_VALUES // (hidden_size * max(num_atoms, 1)))
