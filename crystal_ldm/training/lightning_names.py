"""Where a training runs and in which precision, in Lightning's words."""

from __future__ import annotations

import torch

from crystal_ldm.errors import ConfigError, suggest
from crystal_ldm.nn.device_and_precision import resolve_device, resolve_precision

LIGHTNING = {"float32": "32-true", "bfloat16": "bf16-mixed"}
PRECISIONS = (
    "auto",
    *LIGHTNING,
    *LIGHTNING.values(),
    "16-mixed",
    "16-true",
    "bf16-true",
    "64-true",
)


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
    """Return Lightning's name of a precision; for `auto` that of the faster one.

    Args:
        name: `auto`, `float32`, `bfloat16` (autocast of the network; weights stay in float32), or
            a name of Lightning's.
        accelerator: as `training_device` returns it.

    Raises:
        ConfigError: for an unknown name.
        RequestError: for bfloat16 on MPS.
    """
    if name not in PRECISIONS:
        raise ConfigError(
            f"training.precision must be one of {', '.join(PRECISIONS)}, not "
            f"'{name}'.{suggest(str(name), PRECISIONS)}"
        )
    if accelerator not in ("cpu", "cuda", "mps"):
        return LIGHTNING.get(name, "32-true" if name == "auto" else name)
    if name.startswith("bf16"):
        resolve_precision("bfloat16", torch.device(accelerator))
        return name
    if name in ("auto", *LIGHTNING):
        return LIGHTNING[resolve_precision(name, torch.device(accelerator))]
    return name
