"""Executing the notebooks as a user does: `python -m papermill`, on a few real crystals."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ROWS = 240
ELEMENTS = {"Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Al", "Ga", "In", "Sn", "Pb",
            "F", "Cl", "Br", "I", "O", "S", "Se", "Te"}  # fmt: skip


@dataclass
class Executed:
    """A run of papermill.

    Attributes:
        code: exit code.
        error: what it wrote to stderr.
        run_dir: the run directory that it was given.
        name: of the notebook.
    """

    code: int
    error: str
    run_dir: Path
    name: str

    @property
    def notebook(self) -> dict[str, Any]:
        """The executed notebook in the run directory."""
        return dict(json.loads((self.run_dir / f"{self.name}.ipynb").read_text(encoding="utf-8")))

    @property
    def page(self) -> str:
        """The HTML report in the run directory."""
        return (self.run_dir / f"{self.name}.html").read_text(encoding="utf-8")

    def outputs(self, kind: str) -> list[Any]:
        """What the notebook's outputs hold under a MIME type, in order."""
        return [
            output["data"][kind]
            for cell in self.notebook["cells"]
            for output in cell.get("outputs", [])
            if kind in output.get("data", {})
        ]

    @property
    def figures(self) -> list[dict[str, Any]]:
        """The plotly figures."""
        return self.outputs("application/vnd.plotly.v1+json")

    @property
    def text(self) -> str:
        """What was printed."""
        return "".join(
            "".join(output["text"])
            for cell in self.notebook["cells"]
            for output in cell.get("outputs", [])
            if output["output_type"] == "stream" and output["name"] == "stdout"
        )

    @property
    def sentence(self) -> str:
        """The last line of the error, without colours."""
        lines = re.sub(r"\x1b\[[0-9;]*m", "", self.error).strip().splitlines()
        return lines[-1].strip() if lines else ""


class Papermill:
    """Executes notebooks into run directories below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def __call__(self, name: str, run: str, *words: str, cwd: Path | None = None) -> Executed:
        """Execute notebook `name` into the run directory `run`; `words` are papermill's options."""
        self.count += 1
        output = self.folder / f"out-{self.count}.ipynb"
        run_dir = self.folder / run
        command = [
            sys.executable, "-m", "papermill",
            str(REPOSITORY / "notebooks" / f"{name}.ipynb"), str(output),
            "-k", "python3", "--log-level", "ERROR", "--no-progress-bar",
            "-r", "run_dir", str(run_dir), *words,
        ]  # fmt: skip
        done = subprocess.run(
            command,
            cwd=cwd or self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "JUPYTER_PREFER_ENV_PATH": "1"},
            capture_output=True,
            text=True,
            timeout=500,
        )
        return Executed(done.returncode, done.stderr, run_dir, name)


@pytest.fixture(scope="session")
def papermill(tmp_path_factory: pytest.TempPathFactory) -> Papermill:
    """Papermill in a folder outside the clone: notebooks work from wherever they run."""
    return Papermill(tmp_path_factory.mktemp("papermill"))


@pytest.fixture(scope="session")
def small_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first small crystals of oqmd_icsd in the public csv layout, and one truncated CIF."""
    from crystal_ldm.data import load_dataset

    crystals = load_dataset("oqmd_icsd", progress=False)
    rows = []
    for i in range(len(crystals)):
        if len(rows) == ROWS:
            break
        if crystals.num_atoms[i] <= 6:
            structure = crystals.structure(i)
            if {site.specie.symbol for site in structure} <= ELEMENTS:
                gap = float(crystals.labels["band_gap"][i])
                rows.append((crystals.ids[i], gap, structure.to(fmt="cif")))
    rows.append(("broken", 1.0, rows[0][2][:150]))
    path = tmp_path_factory.mktemp("data") / "small.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "band_gap", "cif"])
        writer.writerows(rows)
    return path


@pytest.fixture(scope="session")
def vae_words() -> Callable[..., list[str]]:
    """Return papermill's options for a tiny VAE."""

    def words(small_csv: Path, seed: int = 0, *changes: str) -> list[str]:
        parts = [
            f"vae_module.{part}.{size}"
            for part in ("encoder", "decoder")
            for size in ("hidden_size=32", "depth=1", "num_heads=4")
        ]
        overrides = [f"data.dataset={small_csv}", "data.max_atoms=6", "training.precision=32-true"]
        return [
            "-y",
            f"overrides: {json.dumps([*overrides, *parts, *changes])}",
            "-p",
            "seed",
            str(seed),
        ]

    return words


@pytest.fixture(scope="session")
def tiny_vae(
    papermill: Papermill, small_csv: Path, vae_words: Callable[..., list[str]]
) -> Executed:
    """A VAE trained for some seconds by 02_vae."""
    return papermill("02_vae", "vae", *vae_words(small_csv), "-p", "max_minutes", "0.1")


@pytest.fixture(scope="session")
def tiny_ldm(papermill: Papermill, small_csv: Path, tiny_vae: Executed) -> Executed:
    """An LDM trained for some seconds by 03_ldm on the latents of `tiny_vae`."""
    overrides = [
        f"data.dataset={small_csv}", "data.max_atoms=6", "training.precision=32-true",
        "ldm_module.denoiser.hidden_size=32", "ldm_module.denoiser.depth=2",
        "ldm_module.denoiser.num_heads=4",
    ]  # fmt: skip
    return papermill(
        "03_ldm", "ldm", "-y", f"overrides: {json.dumps(overrides)}", "-r", "vae_ckpt",
        str(tiny_vae.run_dir), "-p", "max_minutes", "0.1",
    )  # fmt: skip
