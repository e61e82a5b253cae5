"""Choosing weights by what they generate: crystal structure prediction on the choosing part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import ConfigError
from crystal_ldm.training.callbacks import MetricsLog, save_atomically
from crystal_ldm.training.processes import any_process


class MatchValidation(pl.Callback):
    """Now and then, make crystals of held-out formulas and keep the weights that match best.

    A denoiser's loss and its crystals need not improve together (`benchmarks/model_log.md` has
    cases). Noise is the same each time, so that two checkpoints are compared on the same ground.
    Lines of `metrics.jsonl` get `val_match`, the share that StructureMatcher finds equal to the
    held-out crystal (ltol 0.3, stol 0.5, angle_tol 10), and `val_rmse`, in (volume / atom)^(1/3).
    """

    def __init__(self, crystals: CrystalBatch, every: int, log: MetricsLog, best: Path) -> None:
        self.crystals = crystals
        self.every = every
        self.metrics_log = log
        self.best_path = best
        self.best = (-1.0, 0.0)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs to know."""
        return {"best": list(self.best)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the best rate of the run so far."""
        match, rmse = state_dict["best"]
        self.best = (match, rmse)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        """Generate and compare when it is time, and at the last step."""
        if trainer.global_step % self.every == 0 or trainer.global_step == trainer.max_steps:
            self.run(trainer, module)

    def run(self, trainer: pl.Trainer, module: Any) -> None:
        """Generate and compare now; the first process does it for all."""
        better = False
        if trainer.is_global_zero:
            match, rmse = predict(module.model, self.crystals)
            line = {"step": trainer.global_step, "val_match": match}
            self.metrics_log.write(line if rmse is None else {**line, "val_rmse": rmse})
            found = (match, -(rmse or 0.0))
            better = found > self.best
            self.best = max(found, self.best)
        if any_process(trainer, better):
            save_atomically(trainer, self.best_path, weights_only=True)


def predict(module: Any, crystals: CrystalBatch) -> tuple[float, float | None]:
    """Return match rate and mean RMSE of one crystal for each formula; None if none matches."""
    from crystal_ldm.evaluate import match_pairs

    request = CrystalBatch(crystals.atomic_numbers, crystals.num_atoms)
    made = module.sample(request, seed=module.seed, filters=[]).to_structures()
    found = match_pairs(made, crystals.to_structures(), workers=1)
    return found.match_rate, found.mean_rmse if found.matched.any() else None


def check_choice(choose_by: str, module: Any) -> None:
    """See that weights of `module` can be chosen by `choose_by`.

    Raises:
        ConfigError: for neither `loss` nor `match`, or a model that takes no compositions.
    """
    if choose_by not in ("loss", "match"):
        raise ConfigError(f"training.choose_by is 'loss' or 'match', not '{choose_by}'.")
    if choose_by == "match" and (module.kind != "ldm" or "composition" not in module.conditions):
        raise ConfigError(
            "training.choose_by=match makes crystals of held-out formulas, so it needs an LDM "
            "with the condition 'composition'; choose this model by loss (choose_by=loss)."
        )
