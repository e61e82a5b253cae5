"""`python -m benchmarks`: a table of speeds, and `runs/bench.json`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from benchmarks import speed
from benchmarks.machine import machine, peak_memory_mb
from crystal_ldm.atomic import atomic_write_json
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.pretrained import load_pretrained
from crystal_ldm.runs import resolve_path


def show(row: dict[str, Any]) -> dict[str, Any]:
    """Print a row and return it."""
    values = [f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()]
    print("  ".join(values), flush=True)
    return row


def sampling_rows(ldm: LDMModule, name: str) -> list[dict[str, Any]]:
    """Return sampling rates over steps, guidance and precision."""
    return [
        show(speed.sampling(ldm, name, steps, scale, precision))
        for precision in ("float32", "bfloat16")
        for steps in (5, 10, 50)
        for scale in (1.0, 2.0)
        if steps < 50 or scale == 2.0
    ]


def main() -> None:
    """Measure everything once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", default="runs/bench.json")
    options = parser.parse_args()
    about = show(machine())
    rows = [show(speed.import_time()), show(speed.start_to_first_crystal())]
    for precision in ("float32", "bfloat16"):
        peak = about[f"{precision} GFLOP/s"]
        rows.append(show(speed.vae_training(128, precision)))
        for name in ("ldm_small", "ldm_dng"):
            rows += [show(speed.training(name, size, precision, peak)) for size in (32, 128)]
    rows += sampling_rows(load_pretrained(), "the shipped model")
    rows += sampling_rows(speed.new_ldm("ldm_dng").eval(), "ldm_dng")
    memory = show({"what": "peak memory", "MB": peak_memory_mb()})
    path = resolve_path(options.json)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_json(path, json.loads(json.dumps({"machine": about, "rows": [*rows, memory]})))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
