"""What a VAE and an LDM share in training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from crystal_ldm.nn.checkpoints import module_metadata
from crystal_ldm.random import torch_generator


class TrainedModule(pl.LightningModule, ABC):
    """A model that `fit` trains; all its random numbers depend on seed and step alone."""

    kind: str
    seed: int
    config: dict[str, Any]
    data_info: dict[str, Any]
    step_metrics: dict[str, Tensor]

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

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Lightning's training step."""
        parts = self.calculate_loss(batch, self.step_generator())
        self.step_metrics = {name: value.detach() for name, value in parts.items()}
        return parts["loss"]

    def step_generator(self) -> torch.Generator:
        """Return the generator of all random numbers of the present training step."""
        return torch_generator(self.seed, 1, self.global_step, device=self.device)

    def validation_metrics(self, batch: Any, index: int) -> dict[str, Tensor]:
        """Return the loss on a held-out batch, with noise that depends on its index alone."""
        return self.calculate_loss(batch, torch_generator(self.seed, 2, index))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save configuration and data description beside the weights."""
        checkpoint["crystal_ldm"] = module_metadata(self)
