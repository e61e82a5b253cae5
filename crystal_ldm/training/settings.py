"""How a training goes: one typed object, in YAML under `training`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from crystal_ldm.config import check_fields
from crystal_ldm.config.numbers import Count, Positive

FREEZE_BELOW = 5000
"""With fewer training crystals than this, conditions added to a model are trained alone."""


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of `crystal_ldm.training.fit`, the same for VAE and LDM.

    Attributes:
        batch_size: crystals in a batch, over all processes.
        precision: `float32`, `bfloat16` (autocast), a name of Lightning's for these or for
            float16, or `auto`: bfloat16 where the hardware has it, else float32.
        compile: whether `torch.compile` fuses the transformer blocks' small operations: some 15 %
            faster after half a minute; needs a C++ compiler. Losses agree to rounding.
        cuda_graphs: whether a CUDA GPU gets loss and gradient of a step as one graph instead of a
            thousand operations (`GraphedTraining`): several times as many steps of small batches.
        gradient_clip: largest norm of the gradient.
        checkpoint_minutes: time between checkpoints.
        log_every, validate_every: steps between lines of metrics, and between validations.
        choose_by: what makes weights the best: the lowest `loss` on the validation set, or of an
            LDM the highest `match` rate of crystals that it makes for held-out formulas.
        match_every, match_crystals: steps between two such comparisons, and formulas in each.
        freeze: whether all weights stay as they are but those of conditions that are added to a
            trained model; None: with fewer than 5,000 training crystals, since a model that learns
            a few crystals by heart forgets the others.

    Raises:
        ConfigError: for a value of another type, or out of range.
    """

    batch_size: Count = 128
    precision: Literal["auto", "float32", "bfloat16", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    compile: bool = False
    cuda_graphs: bool = False
    gradient_clip: Positive = 1.0
    checkpoint_minutes: Positive = 3.0
    log_every: Count = 25
    validate_every: Count = 250
    choose_by: Literal["loss", "match"] = "loss"
    match_every: Count = 2000
    match_crystals: Count = 300
    freeze: bool | None = None

    def __post_init__(self) -> None:
        check_fields(self, "training")
