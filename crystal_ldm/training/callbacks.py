"""Around the training steps: time budget, checkpoints, metrics, the composition model."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from crystal_ldm.errors import RunError
from crystal_ldm.files.writing import append_text, atomic_path, atomic_write, write_error
from crystal_ldm.ldm_module.composition_model import CompositionTraining
from crystal_ldm.training.processes import any_process, sum_over_processes


class TimeOver(Exception):
    """There is no time for the rest of something that the next call can do again."""


class TimeLimit:
    """When a call has to end: `max_minutes` from now, or when `stop` is set."""

    def __init__(self, max_minutes: float | None, stop: threading.Event | None) -> None:
        self.deadline = math.inf if max_minutes is None else time.monotonic() + 60 * max_minutes
        self.stop = stop

    def over(self) -> bool:
        """Whether the call has to end now."""
        asked = self.stop is not None and self.stop.is_set()
        return asked or time.monotonic() > self.deadline

    def check(self, *_: object) -> None:
        """Raise `TimeOver` if the call has to end now; whatever it is called with is not used."""
        if self.over():
            raise TimeOver


Live = Callable[[dict[str, float]], None]


def save_atomically(trainer: pl.Trainer, path: Path, weights_only: bool = False) -> None:
    """Write a checkpoint beside `path` and move it there: no half-written one is ever seen.

    All processes of a training call this; the first one writes.

    Raises:
        RunError: the file system refused; the checkpoint before this one is kept.
    """
    if not trainer.is_global_zero:
        trainer.save_checkpoint(path, weights_only=weights_only)
        return
    try:
        with atomic_path(path, sole_writer=True) as temporary:
            trainer.save_checkpoint(temporary, weights_only=weights_only)
    except RunError:
        raise
    except OSError as error:  # of a file that Lightning writes before it moves it
        raise write_error(path, error) from error
    except RuntimeError as error:  # torch's own writer
        raise RunError(
            f"'{path}' could not be written ({str(error).splitlines()[0][:120]}). "
            "Finished checkpoints are kept: free some space and run it again."
        ) from error


class RegularCheckpoint(pl.Callback):
    """Save `last.ckpt` every few minutes and at the end."""

    def __init__(self, path: Path, minutes: float) -> None:
        self.path = path
        self.seconds = 60 * minutes
        self.saved_at = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if any_process(trainer, time.monotonic() - self.saved_at >= self.seconds):
            self._save(trainer)

    def on_train_end(self, trainer: pl.Trainer, _: Any) -> None:
        self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        save_atomically(trainer, self.path)
        self.saved_at = time.monotonic()


class StopWhenAsked(pl.Callback):
    """End the training when its time is over."""

    def __init__(self, limit: TimeLimit) -> None:
        self.limit = limit

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if any_process(trainer, self.limit.over()):
            trainer.should_stop = True


class MetricsLog(pl.Callback):
    """Clip gradients, and append a JSON line of averaged metrics to `metrics.jsonl` now and then.

    A line holds `step`, `learning_rate`, `gradient_norm`, `crystals_per_second`, `minutes` (of
    training in all) and the loss with its parts; lines of the validation have names that start with
    `val_`.
    """

    def __init__(
        self, path: Path, every: int, gradient_clip: float, live: Live | None, progress: bool
    ) -> None:
        self.path = path
        self.every = every
        self.gradient_clip = gradient_clip
        self.live = live
        self.progress = progress
        self.sums: dict[str, Any] = defaultdict(float)  # tensors: reading one waits for the GPU
        self.steps = 0
        self.crystals = 0
        self.seconds_before = 0.0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Know the trainer, also where all steps are made and no training starts."""
        self.trainer = trainer

    def state_dict(self) -> dict[str, Any]:
        """Return the sums since the last line: a resumed run's next line is that of a whole one."""
        sums = {name: float(total) for name, total in self.sums.items()}
        return {"sums": sum_over_processes(self.trainer, sums), "steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.sums.update(state_dict.get("sums", {}))
        self.steps = state_dict.get("steps", 0)

    def on_train_start(self, trainer: pl.Trainer, _: Any) -> None:
        """Drop lines of steps that a killed run made after its last checkpoint: they come again."""
        if not trainer.is_global_zero:
            self.sums.clear()  # those of the checkpoint are of all processes
        kept = [m for m in read_metrics(self.path) if m["step"] <= trainer.global_step]
        self.seconds_before = max((60 * m.get("minutes", 0.0) for m in kept), default=0.0)
        if trainer.is_global_zero:
            atomic_write(self.path, "".join(json.dumps(m) + "\n" for m in kept))
        self.started = self.window_started = time.monotonic()

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: Any, _: Any) -> None:
        """Clip the gradient (Lightning refuses to with a fused optimiser) and note its norm."""
        norm = torch.nn.utils.clip_grad_norm_(module.parameters(), self.gradient_clip)
        if (trainer.global_step + 1) % self.every == 0:
            self.gradient_norm = float(norm)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        for name, value in module.step_metrics.items():
            self.sums[name] = self.sums[name] + value
        self.steps += 1
        self.crystals += len(batch)
        if trainer.global_step % self.every == 0:
            now = time.monotonic()
            # Each process has weighted its share, so that their mean is that of the batch.
            here = {name: float(total) for name, total in self.sums.items()}
            sums = sum_over_processes(trainer, {**here, "crystals": self.crystals})
            crystals, steps = sums.pop("crystals"), self.steps * trainer.world_size
            line = {
                "step": trainer.global_step,
                **{name: total / steps for name, total in sums.items()},
                "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
                "gradient_norm": getattr(self, "gradient_norm", float("nan")),
                "crystals_per_second": crystals / max(now - self.window_started, 1e-9),
                "minutes": (self.seconds_before + now - self.started) / 60,
            }
            self.write(line)
            self.sums.clear()
            self.steps = self.crystals = 0
            self.window_started = time.monotonic()

    def write(self, line: dict[str, float]) -> None:
        """Append a line, tell the live view, print it; in the first process only.

        Raises:
            RunError: the file system refused.
        """
        if not self.trainer.is_global_zero:
            return
        append_text(self.path, json.dumps(line) + "\n")
        if self.live is not None:
            self.live(line)
        if self.progress:
            shown = [f"{k} {v:.4g}" for k, v in line.items() if k != "step"]
            print(f"step {line['step']:>6}  " + "  ".join(shown), flush=True)


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Return the lines of `metrics.jsonl`; what a kill or a damaged file left after is left out."""
    lines = []
    if path.is_file():
        for text in path.read_bytes().splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                break
            if not isinstance(line, dict) or not isinstance(line.get("step"), int):
                break
            lines.append(line)
    return lines


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
        training: of the composition model.
        log: gets a line now and then.
        limit: of the call.
    """

    def __init__(self, training: CompositionTraining, log: MetricsLog, limit: TimeLimit) -> None:
        self.training = training
        self.metrics_log = log
        self.limit = limit
        self.seconds = 0.0
        self.told = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return self.training.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
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
        if 0 < self.training.step < self.training.max_steps:
            self._tell(trainer.global_step)
        return left

    def give(self, model: Any) -> None:
        """Give the trained composition model to `model`, which may be of an earlier step."""
        model.composition_model.load_state_dict(self.training.model.state_dict())
        model.data_info["prior_loss"] = self.training.loss

    def _is_due(self) -> bool:
        return not self.training.finished and not self.limit.over()

    def _step(self, global_step: int) -> None:
        started = time.monotonic()
        self.training.run_step()
        if self.training.finished or time.monotonic() - self.told >= EVERY:
            self._tell(global_step)
        self.seconds += time.monotonic() - started

    def _tell(self, global_step: int) -> None:
        training = self.training
        self.told = time.monotonic()
        line = {"composition_epoch": training.epoch, "composition_epochs": training.epochs}
        self.metrics_log.write({"step": global_step, **line, "composition_loss": training.loss})
