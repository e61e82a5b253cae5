"""The composition model's training, in its share of the time beside the denoiser's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl

from crystal_ldm.training.callbacks import MetricsLog
from crystal_ldm.training.time_limit import TimeLimit

if TYPE_CHECKING:
    from crystal_ldm.ldm_module.composition_model import CompositionTraining

SHARE = 0.25
"""Of the time of a call, until the composition model is trained."""
EVERY = 15.0
"""Seconds between two lines of metrics."""


class CompositionProgress(pl.Callback):
    """Train the composition model between the denoiser's steps, and on after the last one.

    So the first step of a training is not kept waiting, and a call that ends early has trained
    both. Both resume from the same checkpoint. Lines of metrics get `composition_epoch` and
    `composition_loss`, on the validation set in nats for each composition. Of several processes the
    first one trains the composition model.

    Args:
        training: of the composition model; None: there is none.
        log: gets a line now and then.
        limit: of the call.
    """

    def __init__(
        self, training: CompositionTraining | None, log: MetricsLog, limit: TimeLimit
    ) -> None:
        self.training = training
        self.metrics_log = log
        self.limit = limit
        self.seconds = 0.0
        self.told = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs to know."""
        return {} if self.training is None else self.training.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the run stopped."""
        if self.training is not None and state_dict:
            self.training.load_state_dict(state_dict)

    def on_train_start(self, *_: Any) -> None:
        """Begin to share out the time."""
        self.started = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Train until the composition model has had its share."""
        if trainer.is_global_zero:
            while self._is_due() and self.seconds < SHARE * (time.monotonic() - self.started):
                self._step(trainer.global_step)

    def finish(self, trainer: pl.Trainer) -> bool:
        """Train what is left, while there is time; return whether anything was."""
        left = self._is_due()
        while self._is_due():
            self._step(trainer.global_step)
        return left

    def give(self, model: Any) -> None:
        """Give the trained composition model to `model`, which may be of an earlier step."""
        if self.training is not None:
            model.composition_model.load_state_dict(self.training.model.state_dict())
            model.data_info["prior_loss"] = self.training.loss

    def _is_due(self) -> bool:
        return self.training is not None and not self.training.finished and not self.limit.over()

    def _step(self, global_step: int) -> None:
        assert self.training is not None
        started = time.monotonic()
        self.training.run_step()
        if self.training.finished or time.monotonic() - self.told >= EVERY:
            self.told = time.monotonic()
            self.metrics_log.write(
                {
                    "step": global_step,
                    "composition_epoch": self.training.epoch,
                    "composition_epochs": self.training.epochs,
                    "composition_loss": self.training.loss,
                }
            )
        self.seconds += time.monotonic() - started
