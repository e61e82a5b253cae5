"""Several processes that train together do what one process does."""

from __future__ import annotations

import itertools
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.data import CrystalDataset
from crystal_ldm.nn.checkpoints import Checkpoint
from crystal_ldm.training import read_metrics
from crystal_ldm.training.batches import StepStream, own_rows
from crystal_ldm.training.processes import SharedDraws
from crystal_ldm.vae_module.losses import VAEItems


def lines(folder: Path) -> list[dict[str, float]]:
    names = ("minutes", "crystals_per_second")
    metrics = read_metrics(folder / "metrics.jsonl")
    return [{k: v for k, v in line.items() if k not in names} for line in metrics]


def test_two_processes_have_the_losses_of_one(dataset: CrystalDataset, tmp_path: Path) -> None:
    script = Path(__file__).with_name("train_together.py")
    train = runpy.run_path(str(script))["train"]
    one, two = tmp_path / "one", tmp_path / "two"
    train(dataset.path, one, 1, one / "vae")
    words = [str(dataset.path), str(two), "2", str(one / "vae")]
    done = subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "MEMBER: 2/2" in done.stderr  # there really were two
    for kind in ("vae", "ldm"):
        alone, together = (
            [line for line in lines(run / kind) if "composition_epoch" not in line]
            for run in (one, two)
        )
        assert [line["step"] for line in alone] == [2, 4, 4, 6, 8, 8]  # two validations
        for a, b in zip(alone, together, strict=True):
            assert a == pytest.approx(b, rel=1e-4)
        weights = [
            torch.load(folder / kind / "last.ckpt", weights_only=True)["state_dict"]
            for folder in (one, two)
        ]
        assert weights[0].keys() == weights[1].keys()
        for name, value in weights[0].items():
            # How far the composition model is at the last checkpoint depends on the clock.
            if not name.startswith("composition_model."):
                assert torch.allclose(value.float(), weights[1][name].float(), atol=1e-3), name
        trained = [Checkpoint.read(folder / kind).state for folder in (one, two)]
        for name, value in trained[0].items():
            if name.startswith("composition_model."):
                assert torch.allclose(value.float(), trained[1][name].float(), atol=1e-3), name


@pytest.mark.parametrize("total", [1, 2, 5, 8])
@pytest.mark.parametrize("processes", [2, 3])
def test_each_crystal_keeps_its_random_numbers(total: int, processes: int) -> None:
    def draw(rows: int) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(7)
        return [
            torch.randint(100, (rows,), generator=generator),
            torch.randn((rows, 3, 2), generator=generator),
            torch.rand(rows, 1, generator=generator),
            torch.rand(rows * 3, generator=generator).view(rows, 3),
        ]

    whole = draw(total)
    for process in range(processes):
        rows = own_rows(total, process, processes)
        with SharedDraws(total, process, processes):
            assert torch.rand(2).shape == (2,)  # without a generator: nobody's business
            mine = draw(len(rows))
        for a, b in zip(whole, mine, strict=True):
            assert torch.equal(a[torch.from_numpy(rows)], b)


def test_the_shares_make_up_the_batch(known_batch: CrystalBatch) -> None:
    crystals = CrystalBatch.cat([known_batch] * 12)
    crystals.ids = [str(i) for i in range(len(crystals))]
    items = VAEItems(crystals, torch.zeros(len(crystals), 6), torch.ones(len(crystals), 3))

    def batches(process: int, processes: int) -> list[CrystalBatch]:
        stream = StepStream(items, crystals.num_atoms.numpy(), 7, seed=1)
        stream.process, stream.processes, stream.start_step = process, processes, 9
        drawn = list(itertools.islice(iter(stream), 20))
        if processes > 1:
            totals = [stream.batch_total(step) for step in range(9, 29)]
            assert totals == [len(batch) for batch in batches(0, 1)]
        return [batch.crystals for batch in drawn]

    shares = [batches(process, 3) for process in range(3)]
    for step, whole in enumerate(batches(0, 1)):
        parts = [share[step] for share in shares]
        assert {i for part in parts for i in part.ids} == set(whole.ids)
        assert sum(len(part) for part in parts) in (len(whole), 3)
        assert {part.atomic_numbers.shape[1] for part in parts} == {whole.atomic_numbers.shape[1]}
