"""What the second core brings, and what bfloat16 costs where a CPU lacks it.

`python -m benchmarks.cores` times training and sampling with one thread and with all of them by
turns, so that other programs disturb both alike; `--precision` compares float32 and bfloat16 on one
thread instead, in CPU time. With

    ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2

it shows a CPU that has AVX2 alone.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.machine import matmul_peak
from benchmarks.speed import new_ldm, training_step
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.nn.device_and_precision import bfloat16_is_fast
from crystal_ldm.pretrained import load_pretrained

Work = Callable[[], int]
"""Does something once and returns how many crystals it was."""


def sampling(ldm: LDMModule, precision: str, count: int = 128) -> Work:
    """Return a guided sampling in 5 steps, decoding included."""
    request = CrystalBatch.from_formulas(["Ca2Ti2O6"], band_gap=[2.0])
    options: dict[str, Any] = {"sampling_steps": 5, "cfg_scale": 2.0, "precision": precision}
    return lambda: len(ldm.sample(request, count, **options))


WORKS: dict[str, Callable[[str], Work]] = {
    "train ldm_small": lambda precision: training_step(new_ldm("ldm_small"), precision),
    "train ldm_dng": lambda precision: training_step(new_ldm("ldm_dng"), precision),
    "sample the shipped model": lambda precision: sampling(load_pretrained(), precision),
    "sample ldm_dng": lambda precision: sampling(new_ldm("ldm_dng").eval(), precision),
}


def rate(work: Work, clock: Callable[[], float]) -> float:
    """Return crystals per second of a clock."""
    started = clock()
    return work() / (clock() - started)


def on_this_cpu(work: Work) -> Work:
    """Return `work` in bfloat16 as a CPU of the shown kind does it.

    With AVX2 alone PyTorch multiplies bfloat16 by its own kernel. oneDNN, which asks the CPU and
    not `ATEN_CPU_CAPABILITY`, would still take its own here.
    """

    def run() -> int:
        with torch.backends.mkldnn.flags(enabled=False):
            return work()

    return run if torch.backends.cpu.get_cpu_capability() == "AVX2" else work


def best_of_both(
    first: Callable[[], float], second: Callable[[], float], repeats: int
) -> tuple[float, float]:
    """Return the best of each of two measurements, made by turns."""
    pairs = [(first(), second()) for _ in range(repeats + 1)][1:]  # the first one warms up
    return max(a for a, _ in pairs), max(b for _, b in pairs)


def main() -> None:
    """Print a table on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", action="store_true", help="float32 against bfloat16")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--only", choices=list(WORKS), help="one of the measurements")
    options = parser.parse_args()
    names = [options.only] if options.only else list(WORKS)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

    def with_threads(work: Work, threads: int | None) -> Callable[[], float]:
        def measure() -> float:
            torch.set_num_threads(threads or 1)
            return rate(work, time.perf_counter)

        return measure

    print(f"{torch.backends.cpu.get_cpu_capability()}; {cores} cores; bfloat16 is ", end="")
    print("faster than float32" if bfloat16_is_fast() else "slower than float32", end="; ")
    if options.precision:
        torch.set_num_threads(1)
        peaks = [matmul_peak(dtype) for dtype in (torch.float32, torch.bfloat16)]
        print("a product of 2048 × 2048: float32 {:.0f}, bfloat16 {:.1f} GFLOP/s".format(*peaks))
        print(
            "| crystals per CPU second | float32 | bfloat16 | ratio |",
            "|---|---|---|---|",
            sep="\n",
        )
        for name in names:
            single, half = (WORKS[name](precision) for precision in ("float32", "bfloat16"))
            a, b = best_of_both(
                partial(rate, single, time.process_time),
                partial(rate, on_this_cpu(half), time.process_time),
                options.repeats,
            )
            print(f"| {name} | {a:.1f} | {b:.1f} | {a / b:.2f} |", flush=True)
        return
    print(
        "\n| crystals/s | precision | one thread | all | ratio |", "|---|---|---|---|---|", sep="\n"
    )
    for precision in ("float32", "bfloat16"):
        for name in names:
            work = WORKS[name](precision)
            one, all_ = best_of_both(
                with_threads(work, 1), with_threads(work, cores), options.repeats
            )
            row = f"| {name} | {precision} | {one:.1f} | {all_:.1f} | {all_ / one:.2f} |"
            print(row, flush=True)


if __name__ == "__main__":
    main()
