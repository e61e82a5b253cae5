"""What a VAE and an LDM share: training, and which elements and sizes they know."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.elements import atomic_number, symbols
from crystal_ldm.errors import RequestError
from crystal_ldm.nn.checkpoints import Checkpoint, load_module
from crystal_ldm.nn.optimizer import Optimizer


class TrainedModule(nn.Module, ABC):
    """A model that `fit` trains; all its random numbers depend on seed and step alone.

    It is no LightningModule, since Lightning takes longer to import than PyTorch and only training
    needs it: see `crystal_ldm.training.lightning`.
    """

    kind: str
    source = "a model in memory"
    """Name of the shipped model, or path of the file that it is from."""
    seed: int
    optimizer: Optimizer
    config: dict[str, Any]
    data_info: dict[str, Any]
    global_step: int = 0

    @property
    @abstractmethod
    def elements(self) -> tuple[str, ...]:
        """Symbols of the elements that the model knows."""

    @property
    @abstractmethod
    def max_atoms(self) -> int:
        """Most atoms in a cell."""

    def element_mask(self, elements: Sequence[str] | None = None) -> Tensor:
        """Return (119,) bool by atomic number, True for `elements`; None: those of the model."""
        known = self.elements if elements is None else elements
        mask = torch.zeros(len(symbols()), dtype=torch.bool)
        mask[[atomic_number(symbol) for symbol in known]] = True
        return mask

    def representable(self, batch: CrystalBatch, elements: Sequence[str] | None = None) -> Tensor:
        """Return (B,) bool: which crystals have few enough atoms and only elements of the model.

        Args:
            batch: the crystals.
            elements: instead of the model's own.
        """
        known = self.element_mask(elements)
        known[0] = True  # padding
        return known[batch.atomic_numbers].all(dim=1) & (batch.num_atoms <= self.max_atoms)

    def check_atoms(self, batch: CrystalBatch) -> None:
        """Raise `RequestError` naming the first crystal that is too large or unknown elements."""
        too_many = (batch.num_atoms > self.max_atoms).nonzero().flatten().tolist()
        if too_many:
            i = too_many[0]
            raise RequestError(
                f"{batch.formulas[i]} with {int(batch.num_atoms[i])} atoms in the cell (row {i}) "
                f"is more than the {self.max_atoms} that this model handles; ask for a smaller "
                "cell."
            )
        known = {atomic_number(symbol) for symbol in self.elements} | {0}
        unknown = sorted(set(batch.atomic_numbers.unique().tolist()) - known)
        if unknown:
            names = ", ".join(symbols()[z] for z in unknown)
            raise RequestError(
                f"This model was not trained on {names}; the elements that it knows are "
                f"{' '.join(self.elements)}."
            )

    @abstractmethod
    def calculate_loss(
        self, batch: Any, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return `loss`, a mean over crystals, and its parts, with noise from `generator`."""

    def composition_training(self, train: Any, held_out: Any) -> Any:
        """Return what is trained beside the model (see `LatentModel`); None: nothing is."""
        return None

    def choose_weights(self, freeze: bool) -> None:
        """Settle which weights learn: with `freeze` new ones alone, where there are any; else all.

        Called once, before a training.
        """

    def configure_optimizers(self) -> Any:
        """Return optimiser and schedule for Lightning."""
        return self.optimizer.build(self.parameters())

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: str | Path, device: str = "cpu") -> Self:
        """Load a Lightning `.ckpt` or a `.safetensors` file. No code in the file is executed.

        Raises:
            CheckpointError: if the file is missing, cut short or not such a model of this project.
        """
        module = load_module(cls, Checkpoint.read(checkpoint_path), device)
        module.source = str(checkpoint_path)
        return module

    def after_step(self, step: int) -> None:
        """Note that `step` training steps have been made."""
        self.global_step = step

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device
