"""Reliability, measured: the table of docs/reliability.md by one command.

    python -m benchmarks.reliability                 # everything; some 15 minutes on two idle cores
    python -m benchmarks.reliability tests --quick   # the tests alone, as `make test` runs them
    python -m benchmarks.reliability throughput      # sweep and sampling with one and two workers

Every number is counted from what ran in this call: tests by pytest's own record, inputs by
hypothesis' statistics, crystals and malicious files by what the tests note of themselves.
`--json FILE` also writes the numbers. The exit code is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.reliability_tests import BAD_INPUT, FAULTS, SAME_RESULT, SECURITY, run_tests

ROOT = Path(__file__).resolve().parents[1]
MILLION = 1_000_000
JOBS = 8
SAMPLES = 256  # crystals of one measurement of the sampling rate


def measure_tests(quick: bool) -> dict[str, Any]:
    """Run every group of tests and return the counts."""
    found: dict[str, Any] = {"faults": {}, "broken": []}
    totals: Counter[str] = Counter()
    for kind, names in FAULTS.items():
        record = run_tests(names)
        found["faults"][kind] = {"injected": record.passed + record.failed, "ok": record.passed}
        totals += record.noted
        found["broken"] += record.broken
    profile = "quick" if quick else "long"
    bad = run_tests(BAD_INPUT, f"--hypothesis-profile={profile}")
    security, same = run_tests(SECURITY), run_tests(SAME_RESULT)
    for record in (bad, security, same):
        totals += record.noted
        found["broken"] += record.broken
    found |= {
        "crystals finished before a fault": totals["crystals_finished"],
        "crystals lost": totals["crystals_lost"],
        "inputs tried": bad.inputs,
        "undocumented errors": bad.failed,
        "security": {"checks": security.passed + security.failed, "ok": security.passed},
        "malicious files opened": totals["malicious_files"],
        "executions": totals["executions"],
        "reproducibility": {"checks": same.passed + same.failed, "ok": same.passed},
    }
    return found


def timed(work: Callable[[], Any]) -> float:
    """Return how long `work` takes, s."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def sweep_seconds(folder: Path, workers: int) -> float:
    """Run a sweep of `JOBS` sampling notebooks and return its time, s."""
    from crystal_ldm.workflow import run_sweep

    sweep = {
        "run_dir": str(folder / f"sweep{workers}"),
        "notebook": "04_sample",
        "parameters": {"formula": "SrTiO3", "num_samples": 8},
        "grid": {"seed": list(range(JOBS))},
        "threads": 1,
    }
    results = []
    seconds = timed(lambda: results.append(run_sweep(sweep, workers=workers, progress=None)))
    if not results[0].ok:
        raise SystemExit(f"The sweep failed: {results[0].jobs[0].message}")
    return seconds


SAMPLE = """
import sys, time
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.pretrained import load_model
from crystal_ldm.runs.generate import generate
formula, run, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
ldm = load_model()
request = CrystalBatch.from_formulas([formula]) if formula else None
generate(ldm, request, run + "/warm", 2, progress=False)
started = time.perf_counter()
generate(ldm, request, run, number, progress=False, seed=1)
print(time.perf_counter() - started)
"""


def sampling_rate(folder: Path, formula: str) -> dict[str, float]:
    """Measure sampling and writing of crystals on one core.

    Returns:
        `crystals_per_second` and `kilobytes` on disk for each crystal.
    """
    run = folder / f"rate-{formula or 'de-novo'}"
    (run / "warm").mkdir(parents=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SAMPLE, formula, str(run), str(SAMPLES)]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True
    )
    size = sum(file.stat().st_size for file in run.rglob("*") if "warm" not in file.parts)
    seconds = float(done.stdout.split()[-1])
    return {"crystals_per_second": SAMPLES / seconds, "kilobytes": size / SAMPLES / 1024}


def split_seconds(folder: Path, workers: int) -> float:
    """Make one request of 2 `SAMPLES` crystals with worker processes; starting them counts."""
    from crystal_ldm.workflow import sample_in_parallel

    run = folder / f"split{workers}"
    return timed(
        lambda: sample_in_parallel(
            None, 2 * SAMPLES, run, workers=workers, piece_size=SAMPLES // 4, progress=False
        )
    )


def measure_throughput() -> dict[str, Any]:
    """Return times of a sweep and of one request with one and two workers, and rates."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return {
            "cores": os.cpu_count(),
            "sweep_s": {str(n): round(sweep_seconds(folder, n), 1) for n in (1, 2)},
            "split_s": {str(n): round(split_seconds(folder, n), 1) for n in (1, 2)},
            "split_crystals": 2 * SAMPLES,
            "one_core": {
                label: sampling_rate(folder, formula)
                for label, formula in (("SrTiO3", "SrTiO3"), ("de novo", ""))
            },
        }


def table(found: dict[str, Any]) -> str:
    """Return the numbers as the Markdown table of docs/reliability.md."""
    lines = ["| | |", "|---|---|"]
    if "faults" in found:
        faults = found["faults"]
        kinds = ", ".join(f"{kind} {n['injected']}" for kind, n in faults.items())
        injected = sum(n["injected"] for n in faults.values())
        survived = sum(n["ok"] for n in faults.values())
        same, security = found["reproducibility"], found["security"]
        lines += [
            f"| faults injected | {injected} ({kinds}) |",
            f"| runs survived | {survived} of {injected} |",
            f"| crystals finished before a fault, and lost by it | "
            f"{found['crystals finished before a fault']}, {found['crystals lost']} |",
            f"| inputs tried | {found['inputs tried']:,} |",
            f"| undocumented errors | {found['undocumented errors']} |",
            f"| malicious files opened | {found['malicious files opened']} "
            f"({found['executions']} executions) |",
            f"| security checks passed | {security['ok']} of {security['checks']} |",
            f"| reproducibility checks passed | {same['ok']} of {same['checks']} |",
        ]
    if "sweep_s" in found:
        for what, seconds, count in (
            (f"sweep of {JOBS} sampling notebooks", found["sweep_s"], JOBS),
            (
                f"one request of {found['split_crystals']} crystals de novo",
                found["split_s"],
                found["split_crystals"],
            ),
        ):
            one, two = seconds["1"], seconds["2"]
            unit = "jobs" if count == JOBS else "crystals"
            lines.append(
                f"| {what}, 1 and 2 workers | {one:.0f} s and {two:.0f} s: "
                f"{60 * count / one:.1f} and {60 * count / two:.1f} {unit} a minute |"
            )
        for label, rate in found["one_core"].items():
            hours = MILLION / rate["crystals_per_second"] / 3600
            gigabytes = MILLION * rate["kilobytes"] / 1024**2
            lines.append(
                f"| a million crystals, {label} | {hours:,.0f} core hours and {gigabytes:.1f} GB, "
                f"at the measured {rate['crystals_per_second']:.1f} crystals a second and core, "
                "written with CIFs |"
            )
    return "\n".join(lines)


def main() -> int:
    """Run what was asked for; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="?", choices=("all", "tests", "throughput"), default="all")
    parser.add_argument("--quick", action="store_true", help="as many inputs as in make test")
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    given = parser.parse_args()
    found: dict[str, Any] = {}
    started = time.perf_counter()
    if given.what != "tests":
        found |= measure_throughput()
    if given.what != "throughput":
        found |= measure_tests(given.quick)
    print(f"\n{table(found)}\n\n{(time.perf_counter() - started) / 60:.1f} minutes")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")
    for name in found.get("broken", []):
        print(f"failed: {name}", file=sys.stderr)
    return 1 if found.get("broken") else 0


if __name__ == "__main__":
    sys.exit(main())
