"""AdamW with a learning rate that depends on the step alone: a resumed run is the same run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from crystal_ldm.config import check_fields
from crystal_ldm.config.numbers import Count, Natural, NotNegative, Positive, Share


@dataclass(frozen=True)
class Optimizer:
    """AdamW (Loshchilov & Hutter 2019): linear warm-up, then a cosine down to `final_share`.

    Attributes:
        learning_rate: the largest learning rate.
        warmup_steps: steps of linear warm-up.
        max_steps: steps of the whole run.
        final_share: share of `learning_rate` that is left at `max_steps`.
        weight_decay: decay of matrices, embeddings among them; vectors (biases, norms) have none.
        betas: decay rates of the two moments.

    Raises:
        ConfigError: for a value of another type, or out of range.
    """

    learning_rate: Positive = 1e-3
    warmup_steps: Natural = 500
    max_steps: Count = 20_000
    final_share: NotNegative = 0.01
    weight_decay: NotNegative = 0.01
    betas: tuple[Share, Share] = (0.9, 0.98)

    def __post_init__(self) -> None:
        check_fields(self, "optimizer")

    def factor(self, step: int) -> float:
        """Return the share of `learning_rate` at `step`."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        span = max(self.max_steps - self.warmup_steps, 1)
        progress = min((step - self.warmup_steps) / span, 1.0)
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        return self.final_share + (1 - self.final_share) * cosine

    def build(self, parameters: Iterable[nn.Parameter]) -> dict[str, Any]:
        """Return optimiser and scheduler in the form that Lightning takes."""
        trained = [p for p in parameters if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim >= 2], "weight_decay": self.weight_decay},
            {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate, betas=self.betas, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
