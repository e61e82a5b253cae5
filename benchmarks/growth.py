"""How cost grows: with the batch size, the number of atoms and the number of samples.

`python -m benchmarks.growth 1x1000 1x10000 1000x1` carries out requests of FORMULASxSAMPLES into
run directories, each in a fresh process on one thread, and prints a row for each. Rates by CPU time
do not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.machine import best_time
from benchmarks.speed import Row, training
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.ldm_module import LDMModule

TITLES = {
    "training by batch size": ("crystals in a batch", "crystals/s"),
    "training by atoms": ("atoms in a crystal", "atoms/s"),
    "sampling by batch size": ("crystals in a batch", "crystals/s"),
    "sampling by atoms": ("atoms in a crystal", "atoms/s"),
    "memory by samples": ("crystals asked for", "peak memory, MB"),
    "memory by batch size": ("crystals in a batch", "peak memory, MB"),
}


def training_growth(name: str, peak: float) -> Iterable[Row]:
    """Yield rates of training in bfloat16 over batch sizes and numbers of atoms."""
    for size in (8, 16, 32, 64, 128, 256):
        row = training(name, size, "bfloat16", peak)
        yield _row("training by batch size", size, row["crystals/s"])
    for atoms in (2, 5, 10, 20):
        row = training(name, 640 // atoms, "bfloat16", peak, atoms)
        yield _row("training by atoms", atoms, atoms * row["crystals/s"])


def sampling_growth(ldm: LDMModule) -> Iterable[Row]:
    """Yield rates of guided sampling with 5 steps over batch sizes and numbers of atoms."""
    for size in (1, 4, 16, 64, 256):
        request = CrystalBatch.from_formulas(["Ca2Ti2O6"])
        yield _row("sampling by batch size", size, size / _seconds(ldm, request, size))
    for formula, atoms in (("NaCl", 2), ("CaTiO3", 5), ("Ca2Ti2O6", 10), ("Ca4Ti4O12", 20)):
        count = 640 // atoms
        seconds = _seconds(ldm, CrystalBatch.from_formulas([formula]), count)
        yield _row("sampling by atoms", atoms, count * atoms / seconds)


def memory_growth() -> Iterable[Row]:
    """Yield the peak memory of fresh processes that sample more, and in larger batches."""
    for count in (64, 256, 1024, 4096):
        yield _row("memory by samples", count, _peak_memory(count, 64))
    for size in (16, 64, 256, 1024):
        yield _row("memory by batch size", size, _peak_memory(1024, size))


def write_figure(rows: Iterable[Row], path: Path) -> None:
    """Write one plot for each kind of growth into an HTML file that needs no network."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    rows = list(rows)
    names = [name for name in TITLES if any(row["what"] == name for row in rows)]
    figure = make_subplots(rows=-(-len(names) // 2), cols=2, subplot_titles=names)
    for i, name in enumerate(names):
        chosen = [row for row in rows if row["what"] == name]
        x, y = ([row[key] for row in chosen] for key in ("x", "y"))
        place = {"row": i // 2 + 1, "col": i % 2 + 1}
        figure.add_trace(go.Scatter(x=x, y=y, mode="lines+markers", showlegend=False), **place)
        figure.update_xaxes(title_text=TITLES[name][0], type="log", **place)
        figure.update_yaxes(title_text=TITLES[name][1], rangemode="tozero", **place)
    figure.update_layout(height=340 * -(-len(names) // 2), template="plotly_white")
    figure.write_html(path, include_plotlyjs=True)


def _row(what: str, x: int, y: float) -> Row:
    return {"what": what, "x": x, "y": float(y)}


def _seconds(ldm: LDMModule, request: CrystalBatch, count: int) -> float:
    options: dict[str, Any] = {"sampling_steps": 5, "batch_size": count, "precision": "bfloat16"}
    return best_time(lambda: ldm.sample(request, count, **options), repeats=2)


def _peak_memory(count: int, batch_size: int) -> float:
    """Return the peak memory, MB, of a process that samples with the shipped model."""
    code = (
        "import resource, crystal_ldm; from crystal_ldm.crystals import CrystalBatch;"
        "from benchmarks.machine import peak_memory_mb;"
        "m = crystal_ldm.load_pretrained(); r = CrystalBatch.from_formulas(['Ca2Ti2O6']);"
        f"[b for b in m.iter_sample(r, {count}, sampling_steps=2, batch_size={batch_size})];"
        "print(peak_memory_mb())"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=root
    )
    return float(done.stdout)


_REQUEST = """
import json, sys, threading, time
from pathlib import Path
from benchmarks.machine import peak_memory_mb
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.pretrained import load_model
from crystal_ldm.runs.generate import generate

formulas, samples, run = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
options = {"sampling_steps": int(sys.argv[4])} if sys.argv[4] else {}
metals = "Li Na K Rb Cs Mg Ca Sr Ba Sc Y La Ti Zr Hf V Nb Ta Cr Mo W Mn Fe Co Ni Cu Zn Al Ga In"
pairs = [(a, b) for a in metals.split() for b in metals.split() if a != b]
anions = [(x, n) for n in (2, 3, 4) for x in "O S Se F Cl Br I N P As".split()]
names = [f"{a}{b}{x}{n}" for x, n in anions for a, b in pairs][:formulas]
request = CrystalBatch.from_formulas(names if formulas > 1 else ["NaCl"])
ldm = load_model()
first, started, cpu = [], time.perf_counter(), time.process_time()


def watch():
    while not (run / "table.csv").is_file():
        time.sleep(0.02)
    first.append((time.perf_counter() - started, time.process_time() - cpu))


threading.Thread(target=watch, daemon=True).start()
generate(ldm, request, run, samples, progress=False, **options)
seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
size = sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
count = len(request) * samples
print(json.dumps({
    "formulas": len(request), "crystals": count, "first crystal, s": round(first[0][0], 1),
    "CPU s": round(first[0][1], 1), "crystals/s": round(count / seconds, 1),
    "per CPU s": round(count / cpu_seconds, 1), "peak memory, MB": round(peak_memory_mb()),
    "kB each": round(size / count / 1024, 2),
}))
"""


def request_growth(formulas: int, samples: int, steps: int | None = None) -> Row:
    """Carry out one request in a fresh process on one thread, and measure it.

    Returns:
        Time to the first crystal in the table, crystals per second over the whole run, both also by
        the CPU's time, peak memory of the process, and bytes on disk for each crystal.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        arguments = [str(formulas), str(samples), f"{folder}/run", str(steps or "")]
        command = [sys.executable, "-c", _REQUEST, *arguments]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=root, env=environment
        )
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def main() -> None:
    """Print a table of the requests on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requests", nargs="+", metavar="FORMULASxSAMPLES")
    parser.add_argument("--steps", type=int, help="of sampling; the default is the preset's")
    options = parser.parse_args()
    header = False
    for text in options.requests:
        row = request_growth(*map(int, text.split("x")), steps=options.steps)
        if not header:
            print("| " + " | ".join(row) + " |", "|---" * len(row) + "|", sep="\n")
            header = True
        print("| " + " | ".join(str(value) for value in row.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
