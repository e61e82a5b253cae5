"""What the machine can do, measured in the same run as what the program does."""

from __future__ import annotations

import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from crystal_ldm.ldm_module.denoisers import DiT


def best_time(work: Callable[[], Any], repeats: int = 5, warm_up: int = 1) -> float:
    """Return the shortest of several runs, s: what the machine can do when nothing disturbs it."""
    for _ in range(warm_up):
        work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def matmul_peak(dtype: torch.dtype, size: int = 2048) -> float:
    """Return the rate of a matrix product of `size`, GFLOP/s."""
    a = torch.randn(size, size).to(dtype)
    b = torch.randn(size, size).to(dtype)
    return 2 * size**3 / best_time(lambda: a @ b) / 1e9


def machine() -> dict[str, Any]:
    """Return CPU, threads, and peak rates."""
    return {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "float32 GFLOP/s": round(matmul_peak(torch.float32), 1),
        "bfloat16 GFLOP/s": round(matmul_peak(torch.bfloat16), 1),
    }


def peak_memory_mb() -> float:
    """Return the largest resident size of this process so far, MB."""
    # On Linux getrusage counts the process from which this one was started, too.
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / 1024 if platform.system() != "Darwin" else kilobytes / 1024**2


def training_gflop(denoiser: DiT, num_atoms: int) -> float:
    """Return useful GFLOP of forward and backward pass for one crystal, padding excluded.

    Two for each weight and token (or crystal, for layers that modulate), and two matrix products
    of the attention; the backward pass counts twice (Kaplan et al. 2020, section 2.1).
    """
    hidden, depth = denoiser.hidden_size, len(denoiser.blocks)
    per_block = sum(
        p.numel() for n, p in denoiser.blocks[0].named_parameters() if "modulation" not in n
    )
    modulation = depth * 6 * hidden**2 + 2 * hidden**2 + 256 * hidden + hidden**2
    attention = depth * 2 * num_atoms**2 * hidden
    forward = 2 * (num_atoms * depth * per_block + modulation + attention)
    return 3 * forward / 1e9
