"""The same recipe gives the same crystals: stored fingerprints of a tiny fixed model.

`fingerprints.json` holds what that model made when the file was written: elements exactly, lattice
vectors in Å and fractional coordinates to four decimals. Everything below has to agree within
`TOLERANCE`, which covers the order in which numbers are summed on other processors, with other
numbers of threads and in other batches.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.nn.checkpoints import save_safetensors
from crystal_ldm.recipe import from_recipe
from crystal_ldm.runs.generate import generate
from crystal_ldm.sampling import SampleResult

STORED = Path(__file__).with_name("fingerprints.json")
TOLERANCE = 1e-3  # Å for lattices; fractions of the cell for coordinates
# An untrained model crams atoms together; the stored crystals are those that came first.
KEEP: dict[str, Any] = {"filters": []}
SAMPLERS: dict[str, dict[str, Any]] = {
    "ddim": {"sampler": "ddim", "sampling_steps": 5, "eta": 0.5, "cfg_scale": 2.0, **KEEP},
    "ddpm": {"sampler": "ddpm", "sampling_steps": 4, "cfg_scale": {"band_gap": 1.5}, **KEEP},
    "dpm_solver++": {"sampler": "dpm_solver++", "sampling_steps": 6, "temperature": 0.8, **KEEP},
}
FORMULAS, GAPS, NUMBER = ["SrTiO3", "Na?", "???"], [2.0, None, (1.0, 3.0)], 2


def a_request() -> CrystalBatch:
    return CrystalBatch.from_formulas(FORMULAS, band_gap=GAPS)


def fingerprint(crystals: CrystalBatch) -> list[dict[str, Any]]:
    found = []
    for i, n in enumerate(crystals.num_atoms.tolist()):
        found.append(
            {
                "atomic_numbers": crystals.atomic_numbers[i, :n].tolist(),
                "lattice": crystals.lattices[i].double().numpy().round(4).tolist(),
                "frac_coords": crystals.frac_coords[i, :n].double().numpy().round(4).tolist(),
            }
        )
    return found


def agree(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    def near(a: dict[str, Any], b: dict[str, Any]) -> bool:
        if a["atomic_numbers"] != b["atomic_numbers"]:
            return False
        moved = np.subtract(a["frac_coords"], b["frac_coords"])
        moved -= moved.round()  # 0.9999 and 0 are neighbours
        same_cell = np.allclose(a["lattice"], b["lattice"], rtol=0, atol=TOLERANCE)
        return same_cell and bool(np.abs(moved).max() < TOLERANCE)

    return len(one) == len(other) and all(map(near, one, other))


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    return dict(json.loads(STORED.read_text()))


def sample(ldm: LDMModule, sampler: str, **more: Any) -> SampleResult:
    return ldm.sample(a_request(), NUMBER, seed=11, **SAMPLERS[sampler], **more)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(
    ("batch_size", "number"),
    [("auto", 1), (1, 1), (4, 1), ("auto", 2), pytest.param(1, 2, marks=pytest.mark.slow), (4, 2)],
)
def test_threads_and_batches(
    tiny_ldm: LDMModule,
    stored: dict[str, Any],
    tmp_path: Path,
    sampler: str,
    batch_size: Any,
    number: int,
) -> None:
    with threads(number):
        made = fingerprint(sample(tiny_ldm, sampler, batch_size=batch_size).crystals)
    (tmp_path / "new.json").write_text(json.dumps({sampler: made}))
    assert agree(made, stored[sampler]), (
        f"{sampler} gives other crystals than those in {STORED.name}. If that is meant, say so in "
        f"CHANGELOG.md and take the new ones from {tmp_path / 'new.json'}."
    )


def test_a_part_of_the_request(tiny_ldm: LDMModule, stored: dict[str, Any]) -> None:
    with threads(1):
        later = tiny_ldm.sample(a_request(), 1, seed=11, offset=1, **SAMPLERS["ddim"])
        row = sample(tiny_ldm, "ddim", wanted=lambda row, number: row == 1)
    assert agree(fingerprint(later.crystals), stored["ddim"][1::2])
    assert agree(fingerprint(row.crystals), stored["ddim"][2:4])


def test_another_run(tiny_ldm: LDMModule, stored: dict[str, Any], tmp_path: Path) -> None:
    """Written by one call, made again from the recipe in a CIF and from that of the run."""
    run = generate(
        tiny_ldm, a_request(), tmp_path, NUMBER, seed=11, progress=False, **SAMPLERS["dpm_solver++"]
    )
    again = from_recipe(tmp_path / "recipe.json", ldm=tiny_ldm)
    assert agree(fingerprint(again.crystals), stored["dpm_solver++"])
    for line in run.rows:
        one = from_recipe(tmp_path / line["cif"], ldm=tiny_ldm)
        place = int(line["row"]) * NUMBER + int(line["number"])
        assert agree(fingerprint(one.crystals), [stored["dpm_solver++"][place]])


@pytest.mark.slow
def test_another_process(
    tiny_ldm: LDMModule,
    stored: dict[str, Any],
    tmp_path: Path,
    python: Callable[..., subprocess.Popen[str]],
) -> None:
    save_safetensors(tiny_ldm, tmp_path / "model.safetensors", half=False)
    (tmp_path / "here.py").write_text(Path(__file__).read_text())
    code = f"""
        import json, sys, torch
        sys.path.insert(0, {str(tmp_path)!r})
        import here
        from crystal_ldm.pretrained import load_model
        torch.set_num_threads(2)
        torch.manual_seed(12345)  # what a user's own program does must not matter
        ldm = load_model({str(tmp_path / "model.safetensors")!r})
        made = {{s: here.sample(ldm, s).crystals for s in here.SAMPLERS}}
        print(json.dumps({{s: here.fingerprint(crystals) for s, crystals in made.items()}}))
    """
    printed, errors = python(code, OMP_NUM_THREADS="2", PYTHONHASHSEED="1").communicate()
    assert printed, errors
    made = json.loads(printed)
    for name in SAMPLERS:
        assert agree(made[name], stored[name])


def test_a_fingerprint_can_tell_crystals_apart(stored: dict[str, Any]) -> None:
    for name, crystals in stored.items():
        assert not any(agree(crystals, other) for n, other in stored.items() if n != name)
    changed = json.loads(json.dumps(stored["ddim"]))
    changed[0]["lattice"][0][0] += 2 * TOLERANCE
    assert not agree(changed, stored["ddim"])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_batches_that_are_made_at_the_same_time(tiny_ldm: LDMModule, sampler: str) -> None:
    made = []
    for number in (1, 2):
        with threads(number):
            batches = []
            for batch in tiny_ldm.iter_sample(a_request(), 10, seed=11, **SAMPLERS[sampler]):
                batches.append(batch)
                running = sum(one.name.startswith("batch") for one in threading.enumerate())
                assert running in ((1, 2) if number == 2 else (0,))  # quick ones share a thread
            assert len(batches) > 1 and torch.get_num_threads() == number
        made.append(fingerprint(SampleResult.of_batches(batches).crystals))
    assert agree(*made)
