"""What several tests need: a clone, processes that are killed, a user without rights."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from playwright.sync_api import Playwright
    from pymatgen.core import Structure

    from crystal_ldm.crystals import CrystalBatch
    from crystal_ldm.ldm_module import LDMModule

# `make test` always tries the same cases; `--hypothesis-profile=long` tries many new ones.
_HYPOTHESIS = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
settings.register_profile("quick", max_examples=60, derandomize=True, **_HYPOTHESIS)
settings.register_profile("long", max_examples=1000, **_HYPOTHESIS)
settings.load_profile("quick")

# What these test, and how, is POSIX's: fork, signals, limits of files, users without rights.
collect_ignore = ["test_runs.py", "reliability"] if os.name == "nt" else []

REPOSITORY = Path(__file__).resolve().parents[1]
MARKS = {
    "browser": "browser",
    "discovery": "slow",
    "evaluate/test_bad_input.py": "slow",
    "evaluate/test_calibration.py": "slow",
    "evaluate/test_evaluate.py": "slow",
    "evaluate/test_identity.py": "slow",
    "evaluate/test_stability.py": "slow",
    "notebooks": "notebook",
    "runs/test_split_request.py": "slow",
    "runs/test_two_writers.py": "slow",
    "test_packaging.py": "slow",
    "test_pages.py": "slow",
    "test_site.py": "slow",
    "nn/test_compile.py": "slow",
    "reliability/test_argument_types.py": "fault",
    "reliability/test_bad_input.py": "fault",
    "reliability/test_faults.py": "fault",
    "reliability/test_security.py": "fault",
    "training": "slow",
    "training/test_training_faults.py": "fault",
    "widgets/test_evaluation.py": "slow",
    "workflow/test_kernel.py": "notebook",
    "workflow/test_notebooks.py": "notebook",
    "workflow/test_sweep.py": "notebook",
}
"""The marker of the tests in a folder or file; the longest path that fits decides."""
NOBODY = 65534


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by where they lie."""
    for item in items:
        path = item.path.relative_to(REPOSITORY / "tests")
        places = [path, *path.parents]
        marks = [MARKS[place.as_posix()] for place in places if place.as_posix() in MARKS]
        if marks:
            item.add_marker(marks[0])


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """The one Playwright of the test run: a second one in the same process is refused."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty clone of the project; the working directory is a folder inside it."""
    root = tmp_path / "clone"
    (root / "notebooks").mkdir(parents=True)
    (root / "pyproject.toml").write_text('[project]\nname = "crystal-ldm"\n')
    monkeypatch.chdir(root / "notebooks")
    return root


@pytest.fixture
def python(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python code in a process of its own; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, cwd: Path | None = None, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            cwd=cwd or tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def raised_in_child(restrict: Callable[[], object], function: Callable[[], object]) -> str:
    """Call `restrict` and then `function` in a child process, which keeps the restriction.

    Returns the type and message of what was raised; "" for nothing.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            restrict()
            function()
            answer = ""
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as file:
        return file.read()


@pytest.fixture
def without_rights() -> Callable[[Callable[[], object]], str]:
    """Call a function as a user without rights; returns the type and message of what it raised."""

    def call(function: Callable[[], object]) -> str:
        return raised_in_child(_give_up_rights, function)

    return call


def _give_up_rights() -> None:
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"did not happen within {seconds} s")
        time.sleep(0.02)


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait until a condition holds."""
    return wait_until


@pytest.fixture(scope="session")
def known_crystals() -> list[Structure]:
    """Crystals of common prototypes, 1 to 10 atoms, cubic to triclinic."""
    from pymatgen.core import Lattice, Structure

    cubic, rutile = Lattice.cubic, Lattice.tetragonal(4.59, 2.96)
    third = [[1 / 3, 2 / 3, 0.0], [2 / 3, 1 / 3, 0.5]]
    return [
        Structure.from_spacegroup(
            "Pm-3m", cubic(3.9), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]
        ),
        Structure.from_spacegroup("Fm-3m", cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]),
        Structure.from_spacegroup("F-43m", cubic(5.41), ["Zn", "S"], [[0, 0, 0], [0.25] * 3]),
        Structure.from_spacegroup("Fd-3m", cubic(5.43), ["Si"], [[0, 0, 0]]),
        Structure.from_spacegroup("Im-3m", cubic(2.87), ["Fe"], [[0, 0, 0]]),
        Structure.from_spacegroup("P4_2/mnm", rutile, ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]),
        Structure(Lattice.hexagonal(2.95, 4.68), ["Ti", "Ti"], third),
        Structure(
            Lattice.from_parameters(4.1, 5.2, 6.3, 81, 95, 103),
            ["Ca", "Ti", "O", "O"],
            [[0.1, 0.2, 0.3], [0.6, 0.7, 0.8], [0.15, 0.65, 0.45], [0.55, 0.25, 0.9]],
        ),
    ]


@pytest.fixture(scope="session")
def known_batch(known_crystals: list[Structure]) -> CrystalBatch:
    """The known crystals as a batch with a band gap each; the metals' one is not given."""
    from crystal_ldm.crystals import CrystalBatch

    gaps = [2.0, 5.0, 3.5, 0.6, None, 3.0, None, 1.5]
    return CrystalBatch.from_structures(known_crystals, {"band_gap": gaps})


def make_tiny_ldm(batch: CrystalBatch, seed: int = 0, composition_model: bool = False) -> LDMModule:
    """A real, small LDM with random weights that are not zero anywhere, the same for each seed."""
    import torch

    from crystal_ldm.config import instantiate
    from crystal_ldm.crystals.elements import symbols

    size = {"hidden_size": 32, "depth": 1, "num_heads": 2}
    config: dict[str, object] = {
        "_target_": "LDMModule",
        "vae": {
            "_target_": "VAEModule",
            "encoder": {"_target_": "Encoder", **size},
            "decoder": {"_target_": "Decoder", **size},
        },
        "denoiser": {"_target_": "DiT", **size},
        "diffusion": {"_target_": "GaussianDiffusion", "prediction": "v"},
        "conditions": {
            "composition": {"_target_": "Composition"},
            "band_gap": {"_target_": "ScalarCondition", "unit": "eV", "minimum": 0.0},
        },
    }
    if composition_model:
        config["composition_model"] = {
            "_target_": "CompositionModel",
            "hidden_size": 32,
            "depth": 1,
        }
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # a Lightning module takes its first weights from torch's generator
        ldm = instantiate(config)
    ldm.config = config
    ldm.vae.config = config["vae"]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in ldm.parameters():
            scale = 1.0 if parameter.ndim < 2 else parameter.shape[-1] ** -0.5
            parameter += 0.5 * scale * torch.randn(parameter.shape, generator=generator)
    elements = [symbols()[z] for z in batch.atomic_numbers.unique().tolist() if z]
    info = {"elements": elements, "num_atoms_histogram": batch.num_atoms.bincount().tolist()}
    ldm.vae.set_data(batch, info)
    many = type(batch).cat([batch] * 3)  # a condition wants at least ten values
    ldm.set_data(many, info)
    return ldm.eval()


@pytest.fixture(scope="session")
def tiny_ldm(known_batch: CrystalBatch) -> LDMModule:
    """See `make_tiny_ldm`; shared, so tests must not change it."""
    return make_tiny_ldm(known_batch)
