"""A model as Lightning's Trainer wants it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from crystal_ldm.nn.checkpoints import module_metadata
from crystal_ldm.nn.trained_module import TrainedModule
from crystal_ldm.random import torch_generator


class LightningTraining(pl.LightningModule):
    """The training of `model`; in checkpoints the weights have the names that they have there."""

    def __init__(self, model: TrainedModule) -> None:
        super().__init__()
        self.model = model
        self.step_metrics: dict[str, Tensor] = {}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of a step and note its parts."""
        parts = self.model.calculate_loss(batch, self.step_generator())
        self.step_metrics = {name: value.detach() for name, value in parts.items()}
        return parts["loss"]

    def step_generator(self) -> torch.Generator:
        """Return the generator of all random numbers of the present training step."""
        return torch_generator(self.model.seed, 1, self.global_step, device=self.device)

    def on_train_batch_end(self, *_: Any) -> None:
        """Tell the model how many steps it has been trained for."""
        self.model.after_step(self.global_step)

    def configure_optimizers(self) -> Any:
        """Return the model's optimiser and schedule."""
        return self.model.configure_optimizers()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save configuration and data description beside the weights."""
        checkpoint["crystal_ldm"] = module_metadata(self.model)

    def state_dict(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Return the model's state."""
        return self.model.state_dict(*args, **options)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **options: Any) -> Any:
        """Fill in the model's state."""
        return self.model.load_state_dict(state_dict, *args, **options)
