"""Checkpoints that a training goes on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from crystal_ldm.errors import CheckpointError
from crystal_ldm.nn.checkpoints import with_names_of_today
from crystal_ldm.nn.trained_module import TrainedModule

_PARAMETERS = ("weight", "bias", "null")
"""How the names of all weights end; buffers have come and gone with versions."""


def saved_step(path: Path) -> int:
    """Return the step at which a checkpoint of a training was saved.

    Raises:
        CheckpointError: if it cannot be read.
    """
    return int(_content(path)["global_step"])


def check_resumable(path: Path, module: TrainedModule) -> None:
    """See that a checkpoint holds a training of `module`: its weights, and the same ones learn.

    Raises:
        CheckpointError: if it is that of another model, or cannot be read.
    """
    content = _content(path)
    names = with_names_of_today(content["state_dict"])
    saved = {n: t.shape for n, t in names.items() if n.endswith(_PARAMETERS)}
    learning = _sizes(content["optimizer_states"][0]["param_groups"])
    if saved != {n: p.shape for n, p in module.named_parameters()}:
        what = "its model has other layers"
    elif learning != _sizes(module.configure_optimizers()["optimizer"].param_groups):
        what = "other weights learn in it (training.freeze)"
    else:
        return
    raise CheckpointError(
        f"{path} is the training of another experiment: {what}. Train in another run_dir, or go on "
        "with the experiment that it was begun with."
    )


def _content(path: Path) -> Any:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        int(content["global_step"]), content["optimizer_states"][0]  # best.ckpt has no optimizer
        return content
    except Exception as error:  # torch raises many kinds for files that are cut short or unsafe
        raise CheckpointError(
            f"{path} cannot be read: it is cut short or not a checkpoint of a training. Remove it "
            "to start from the first step; best.ckpt and model.safetensors beside it are kept "
            "until then and serve as init_from of a run in another directory."
        ) from error


def _sizes(groups: Any) -> list[int]:
    return [len(group["params"]) for group in groups]
