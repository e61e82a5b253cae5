"""Models, devices and precisions as Lightning's Trainer wants them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from crystal_ldm.nn.checkpoints import module_metadata
from crystal_ldm.nn.device_and_precision import resolve_device, resolve_precision
from crystal_ldm.nn.trained_module import TrainedModule
from crystal_ldm.random import torch_generator
from crystal_ldm.training.batches import StepStream
from crystal_ldm.training.processes import SharedDraws


class LightningTraining(pl.LightningModule):
    """The training of `model`; in checkpoints the weights have the names that they have there.

    Args:
        model: what to train.
        stream: its batches, of which each process that trains gets a share.
    """

    def __init__(self, model: TrainedModule, stream: StepStream) -> None:
        super().__init__()
        self.model = model
        self.stream = stream
        self.step_metrics: dict[str, Tensor] = {}

    def setup(self, stage: str) -> None:
        """Called in each process, before the first batch is asked for."""
        self.stream.process, self.stream.processes = self.global_rank, self.trainer.world_size

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of a step and note its parts."""
        process, processes, weight = self.stream.process, self.stream.processes, 1.0
        draws: AbstractContextManager[Any] = nullcontext()
        if processes > 1:
            total = self.stream.batch_total(self.global_step)
            draws = SharedDraws(total, process, processes)
            # The mean over processes is then the mean over the crystals of the whole batch.
            weight = len(range(process, total, processes)) * processes / total
        with draws:
            parts = self.model.calculate_loss(batch, self.step_generator())
        self.step_metrics = {name: value.detach() * weight for name, value in parts.items()}
        return parts["loss"] * weight

    def step_generator(self) -> torch.Generator:
        """Return the generator of all random numbers of the present training step."""
        return torch_generator(self.model.seed, 1, self.global_step, device=self.device)

    def optimizer_step(self, *args: Any, **options: Any) -> None:
        """Make a step, and tell the model of it before callbacks validate and save it."""
        super().optimizer_step(*args, **options)
        self.model.after_step(self.global_step + 1)

    def configure_optimizers(self) -> Any:
        return self.model.configure_optimizers()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save configuration and data description beside the weights."""
        checkpoint["crystal_ldm"] = module_metadata(self.model)

    def state_dict(self, *args: Any, **options: Any) -> dict[str, Any]:  # type: ignore[override]
        return self.model.state_dict(*args, **options)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **options: Any) -> Any:
        return self.model.load_state_dict(state_dict, *args, **options)


def quiet_trainer(**options: Any) -> pl.Trainer:
    """Return Lightning's trainer without bars (blank in reports), loggers and files of its own."""
    # What hardware it found and what it advertises is noise here.
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    return pl.Trainer(
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


LIGHTNING = {"float32": "32-true", "bfloat16": "bf16-mixed", "16-mixed": "16-mixed"}
"""Its names of precisions; weights are float32 in each of them."""
_OURS = {its: ours for ours, its in LIGHTNING.items()}


def training_device(accelerator: str = "auto") -> str:
    """Return Lightning's name of the accelerator: `cuda`, `mps` or `cpu`, or one of its others.

    Raises:
        RequestError: if this machine does not have it.
    """
    if accelerator == "gpu":
        kind = resolve_device("auto").type
        accelerator = kind if kind != "cpu" else "cuda"
    if accelerator not in ("auto", "cpu", "cuda", "mps"):
        return accelerator
    return resolve_device(accelerator).type


def training_precision(name: str, accelerator: str) -> str:
    """Return Lightning's name of a precision (see `TrainingSettings`); `auto`: of the faster one.

    Args:
        name: in our words or Lightning's.
        accelerator: as `training_device` returns it.

    Raises:
        RequestError: for bfloat16 on MPS.
    """
    name = _OURS.get(name, name)
    if name != "16-mixed" and accelerator in ("cpu", "cuda", "mps"):
        name = resolve_precision(name, accelerator)
    return LIGHTNING.get(name, "32-true")
