"""Where a model computes, and in which precision: the meaning of `auto`.

A device is chosen in the order CUDA, Apple's MPS, CPU. A precision is bfloat16 where the hardware
multiplies matrices faster in it (AVX-512 bf16, AMX, Arm bf16, CUDA from compute capability 8.0 on),
else float32. Sampling is the exception: its `auto` is float32 everywhere, which gives the same
crystals everywhere.
"""

from __future__ import annotations

import functools
import math
import os
import time
import warnings

import torch

from crystal_ldm.errors import RequestError, suggest

PRECISIONS = ("auto", "float32", "bfloat16")
WORTH_IT = 1.3
"""How many times as fast a bfloat16 product must be for bfloat16 to be chosen."""


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """Return the device of that name; of `auto` the best one that this machine has.

    Args:
        name: `auto`, `cpu`, `cuda`, `cuda:1`, … or `mps`.

    Raises:
        RequestError: for an unknown name, or a device that this machine does not have.
    """
    if str(name) == "auto":
        name = available_devices()[0]
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or not _has(device):
        options = ["auto", *available_devices()]
        raise RequestError(
            f"There is no device '{name}'.{suggest(str(name), options)} "
            f"This machine has {', '.join(options)}."
        )
    if device.type == "mps":
        _note_mps()
    return device


def available_devices() -> list[str]:
    """Return the names of this machine's devices, the one that `auto` takes first."""
    count = _cuda_devices()
    names = ["cuda"] if count == 1 else [f"cuda:{i}" for i in range(count)]
    return [*names, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def resolve_precision(name: str, device: str | torch.device = "cpu") -> str:
    """Return `float32` or `bfloat16`; for `auto` the faster one on `device`.

    A bfloat16 that the device does not have is said once, in a warning.

    Raises:
        RequestError: for an unknown name, or bfloat16 on MPS.
    """
    if name not in PRECISIONS:
        raise RequestError(
            f"The precision must be {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}, not "
            f"'{name}'.{suggest(name, PRECISIONS)}"
        )
    device = torch.device(device)
    if name == "auto":
        return "bfloat16" if bfloat16_is_fast(device) else "float32"
    if name == "bfloat16":
        if device.type == "mps":
            raise RequestError("Models run in float32 on MPS: use precision float32 or auto.")
        if not bfloat16_is_fast(device):
            _note_slow(device.type)
    return name


def sampling_precision(name: str, device: str | torch.device = "cpu") -> str:
    """Return the precision of sampling: as `resolve_precision`, but `auto` is float32.

    Raises:
        RequestError: for an unknown name, or bfloat16 on MPS.
    """
    return resolve_precision("float32" if name == "auto" else name, device)


def bfloat16_is_fast(device: str | torch.device = "cpu") -> bool:
    """Tell whether matrix products on `device` are faster in bfloat16 than in float32."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and _cpu_bfloat16_speedup() >= WORTH_IT


@functools.cache
def _cpu_bfloat16_speedup() -> float:
    """Return how many times as fast a matrix product is in bfloat16 as in float32.

    A CPU that has the instructions may not use them: PyTorch may be built without kernels for them
    (macOS on Arm), or the kernels be limited to older instructions (`ONEDNN_MAX_CPU_ISA`).
    A product of 2 MFLOP shows where bfloat16 is emulated, at a GFLOP/s; elsewhere one of 67 MFLOP
    is timed. Both take a few milliseconds.
    """
    small = _product_speedup(64, 128, repeats=2)
    return small if small < 0.5 else _product_speedup(128, 512, repeats=4)


@torch.inference_mode()
def _product_speedup(rows: int, size: int, repeats: int) -> float:
    """Return the ratio of the shortest times of a product in float32 and in bfloat16, in turns."""
    fastest = {torch.float32: math.inf, torch.bfloat16: math.inf}
    operands = {
        dtype: (torch.ones(rows, size, dtype=dtype), torch.ones(size, size, dtype=dtype))
        for dtype in fastest
    }
    for turn in range(1 + repeats):
        for dtype, (left, right) in operands.items():
            started = time.perf_counter()
            torch.mm(left, right)
            if turn:  # the first one prepares its kernel
                fastest[dtype] = min(fastest[dtype], time.perf_counter() - started)
    return fastest[torch.float32] / fastest[torch.bfloat16]


def _cuda_devices() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _has(device: torch.device) -> bool:
    if device.type == "mps":
        return torch.backends.mps.is_available() and not device.index
    return device.type == "cpu" or (device.type == "cuda" and (device.index or 0) < _cuda_devices())


@functools.cache
def _note_mps() -> None:
    """Say once that not everything runs on MPS, instead of PyTorch's warning for each operation."""
    warnings.filterwarnings("ignore", message=".*is not currently supported on the MPS backend.*")
    lacks = "what MPS lacks is computed on the CPU."
    if os.environ.get("PYTORCH_ENABLE_MPS_FALLBACK") != "1":  # read when torch is imported
        lacks = "for what MPS lacks to be computed on the CPU, import crystal_ldm before torch."
    warnings.warn(f"The model runs on MPS in float32; {lacks}", stacklevel=3)


@functools.cache
def _note_slow(kind: str) -> None:
    """Say once for each kind of device that bfloat16 is no gain there."""
    warnings.warn(
        f"This machine's {'GPU' if kind == 'cuda' else 'CPU'} has no fast bfloat16, so that "
        "precision bfloat16 will be slow: use float32 or auto.",
        stacklevel=3,
    )
