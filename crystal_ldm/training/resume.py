"""Checkpoints that a training goes on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from crystal_ldm.errors import CheckpointError
from crystal_ldm.nn.trained_module import TrainedModule


def step_to_resume(path: Path, module: TrainedModule) -> int:
    """Return the step at which a checkpoint was saved, 0 where there is none.

    Its weights are loaded into `module`, whose training it has to be: the same ones learn.

    Raises:
        CheckpointError: if it is that of another model, or cannot be read.
    """
    if not path.is_file():
        return 0
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        # best.ckpt has no optimizer
        step, optimizer = int(content["global_step"]), content["optimizer_states"][0]
    except Exception as error:  # torch raises many kinds for files that are cut short or unsafe
        raise CheckpointError(
            f"{path} cannot be read: it is cut short or not a checkpoint of a training. Remove it "
            "to start from the first step; best.ckpt and model.safetensors beside it are kept "
            "until then and serve as init_from of a run in another directory."
        ) from error
    learning = _sizes(optimizer["param_groups"])
    try:
        module.load_state_dict(content["state_dict"])
        if learning == _sizes(module.configure_optimizers()["optimizer"].param_groups):
            return step
        what = "other weights learn in it (training.freeze)"
    except RuntimeError:  # torch's, for names or shapes
        what = "its model has other layers"
    raise CheckpointError(
        f"{path} is the training of another experiment: {what}. Train in another run_dir, or go on "
        "with the experiment that it was begun with."
    )


def _sizes(groups: Any) -> list[int]:
    return [len(group["params"]) for group in groups]
