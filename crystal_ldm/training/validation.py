"""Validation: now and then a model is measured, and the best weights so far are kept."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.data import CrystalDataset
from crystal_ldm.errors import ConfigError
from crystal_ldm.random import crystal_generator, torch_generator
from crystal_ldm.training.callbacks import MetricsLog, TimeLimit, TimeOver, save_atomically
from crystal_ldm.training.processes import any_process


class Validation(pl.Callback):
    """Every `every` steps, measure the model; keep the weights of the highest score in `best`.

    The noise is the same each time, so that two checkpoints are compared on the same ground. A
    measurement for which the call has no time left is made at the start of the next one.

    Args:
        every: steps between two measurements; the last step is measured, too.
        log: gets a line of metrics from each.
        best: the checkpoint of the best weights; None: this measure does not choose.
    """

    def __init__(self, every: int, log: MetricsLog, best: Path | None) -> None:
        self.every = every
        self.metrics_log = log
        self.best_path = best
        self.best = [-math.inf]
        self.owed = False

    @abstractmethod
    def measure(self, trainer: pl.Trainer, module: Any) -> tuple[dict[str, float], list[float]]:
        """Return a line of metrics, and the score: of two lists the larger one is better.

        All processes of a training call it, and the first one's score counts.
        """

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "owed": self.owed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = list(state_dict.get("best", self.best))
        self.owed = bool(state_dict.get("owed", False))

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Make up for what the call before had no time for."""
        self.catch_up(trainer, module)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if trainer.global_step % self.every == 0 or trainer.global_step == trainer.max_steps:
            self._validate(trainer, module)

    def catch_up(self, trainer: pl.Trainer, module: Any) -> bool:
        """Make the measurement that is owed, if there is one; return whether it was made."""
        if self.owed:
            self._validate(trainer, module)
            return not self.owed
        return False

    def _validate(self, trainer: pl.Trainer, module: Any) -> None:
        module.eval()
        line: dict[str, float] = {}
        score: list[float] = []
        try:
            with torch.no_grad():
                line, score = self.measure(trainer, module)
            self.owed = False
        except TimeOver:
            self.owed = True
        module.train()
        if line:
            self.metrics_log.write({"step": trainer.global_step, **line})
        better = trainer.is_global_zero and score > self.best
        if self.best_path is not None and any_process(trainer, better):
            self.best = score
            save_atomically(trainer, self.best_path, weights_only=True)


class LossValidation(Validation):
    """The loss on held-out batches; lines of metrics have `val_loss` and its parts."""

    def __init__(self, batches: Sequence[Any], *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.batches = batches

    def measure(self, trainer: pl.Trainer, module: Any) -> tuple[dict[str, float], list[float]]:
        """Return the mean losses, and as score the negative loss."""
        parts: dict[str, float] = defaultdict(float)
        total = sum(len(batch) for batch in self.batches)
        for i, batch in enumerate(self.batches):
            noise = torch_generator(module.model.seed, 2, i)
            losses = module.model.calculate_loss(batch.to(module.device), noise)
            for name, value in losses.items():
                parts[f"val_{name}"] += float(value) * len(batch) / total
        return dict(parts), [-parts["val_loss"]]


class MatchValidation(Validation):
    """Crystal structure prediction of held-out formulas.

    A denoiser's loss and its crystals need not improve together (`benchmarks/model_log.md` has
    cases). Lines of metrics have `val_match`, the share that StructureMatcher finds equal to the
    held-out crystal (ltol 0.3, stol 0.5, angle_tol 10), and `val_rmse`, in (volume / atom)^(1/3).
    As it takes minutes, it ends when the call's time does.
    """

    def __init__(
        self, crystals: CrystalBatch, limit: TimeLimit, *arguments: Any, **keywords: Any
    ) -> None:
        super().__init__(*arguments, **keywords)
        self.crystals = crystals
        self.limit = limit

    def measure(self, trainer: pl.Trainer, module: Any) -> tuple[dict[str, float], list[float]]:
        """Return match and RMSE; the first process generates for all."""
        if not trainer.is_global_zero:
            return {}, []
        match, rmse = predict(module.model, self.crystals, self.limit.check)
        line = {"val_match": match} if rmse is None else {"val_match": match, "val_rmse": rmse}
        return line, [match, -(rmse or 0.0)]


def predict(
    module: Any, crystals: CrystalBatch, check: Callable[[object], None] | None = None
) -> tuple[float, float | None]:
    """Return match rate and mean RMSE of one crystal for each formula; None if none matches.

    `check` is called again and again, and ends it by raising.
    """
    from crystal_ldm.evaluate import match_pairs

    request = CrystalBatch(crystals.atomic_numbers, crystals.num_atoms)
    result = module.sample(request, seed=module.seed, filters=[], callback=check)
    matches = match_pairs(
        result.to_structures(), crystals.to_structures(), workers=1, progress=check
    )
    return matches.match_rate, matches.mean_rmse if matches.matched.any() else None


def check_choice(choose_by: str, module: Any) -> None:
    """See that weights of `module` can be chosen by `choose_by`.

    Raises:
        ConfigError: for `match` and a model that takes no compositions.
    """
    if choose_by == "match" and (module.kind != "ldm" or "composition" not in module.conditions):
        raise ConfigError(
            "training.choose_by=match makes crystals of held-out formulas, so it needs an LDM "
            "with the condition 'composition'; choose this model by loss (choose_by=loss)."
        )


def held_out_crystals(dataset: CrystalDataset, model: Any) -> CrystalBatch:
    """Return the test set's crystals that a model can represent; if there are none, other ones.

    In a very small data set the model may know no crystal of the test set, and then those of the
    validation set, in the last case of the training set are returned.

    Args:
        model: its `elements` and `max_atoms` say which crystals it knows.
    """
    for part in ("test", "val", "train"):
        crystals = dataset.batch(dataset.indices(part))
        usable = model.representable(crystals)
        crystals = crystals[usable.nonzero().flatten()]
        if len(crystals):
            break
    return crystals


def held_out_request(dataset: CrystalDataset, model: Any, count: int = 8) -> CrystalBatch | None:
    """Return up to `count` held-out formulas; None if the model takes no compositions."""
    if "composition" not in model.conditions:
        return None
    crystals = held_out_crystals(dataset, model)
    rows = torch.as_tensor(crystal_generator(0).permutation(len(crystals))[:count])
    return CrystalBatch(crystals.atomic_numbers[rows], crystals.num_atoms[rows])
