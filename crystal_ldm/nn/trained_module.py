"""What a VAE and an LDM share in training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from crystal_ldm.random import torch_generator


class TrainedModule(nn.Module, ABC):
    """A model that `fit` trains; all its random numbers depend on seed and step alone.

    It is no LightningModule, since Lightning takes longer to import than PyTorch and only training
    needs it: see `crystal_ldm.training.lightning`.
    """

    kind: str
    seed: int
    config: dict[str, Any]
    data_info: dict[str, Any]
    global_step: int = 0

    @abstractmethod
    def calculate_loss(
        self, batch: Any, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return `loss`, a mean over crystals, and its parts, with noise from `generator`."""

    def composition_training(self, train: Any, held_out: Any) -> Any:
        """Return what is trained beside the model (see `LatentModel`); None: nothing is."""
        return None

    def freeze_trained(self) -> None:
        """Leave all weights but new ones as they are in training; without new ones all learn."""

    def validation_metrics(self, batch: Any, index: int) -> dict[str, Tensor]:
        """Return the loss on a held-out batch, with noise that depends on its index alone."""
        return self.calculate_loss(batch, torch_generator(self.seed, 2, index))

    @abstractmethod
    def configure_optimizers(self) -> Any:
        """Return optimiser and schedule for Lightning."""

    def after_step(self, step: int) -> None:
        """Note that `step` training steps have been made."""
        self.global_step = step

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device
