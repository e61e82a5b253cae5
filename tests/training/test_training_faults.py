"""Full disks, missing rights, damaged files and a second process, in the middle of training."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from crystal_ldm.config import instantiate
from crystal_ldm.data import CrystalDataset
from crystal_ldm.errors import CheckpointError, RunError
from crystal_ldm.training import TrainingSettings, fit, read_metrics
from crystal_ldm.vae_module import VAEModule

SETTINGS = TrainingSettings(batch_size=32, log_every=2)
SIZE = {"hidden_size": 16, "depth": 1, "num_heads": 2}


def new_vae(max_steps: int) -> VAEModule:
    config = {
        "_target_": "VAEModule",
        "encoder": {"_target_": "Encoder", **SIZE},
        "decoder": {"_target_": "Decoder", **SIZE},
        "optimizer": {"_target_": "Optimizer", "max_steps": max_steps, "warmup_steps": 2},
    }
    vae = instantiate(config)
    vae.config = config
    return vae


def step_of(run: Path) -> int:
    return int(torch.load(run / "last.ckpt", weights_only=True)["global_step"])


@pytest.fixture
def trained(dataset: CrystalDataset, tmp_path: Path) -> Path:
    """A run of four steps."""
    fit(new_vae(4), dataset, tmp_path / "run", SETTINGS, progress=False)
    return tmp_path / "run"


def test_a_full_disk_keeps_the_last_checkpoint(
    dataset: CrystalDataset, trained: Path, python: Callable[..., subprocess.Popen[str]]
) -> None:
    before = (trained / "last.ckpt").read_bytes()
    code = f"""
        import resource, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_training_faults import SETTINGS, new_vae
        from crystal_ldm.data import CrystalDataset
        from crystal_ldm.training import fit
        data = CrystalDataset.open({str(dataset.path)!r})
        resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) // 2}, {len(before) // 2}))
        try:
            fit(new_vae(8), data, {str(trained)!r}, SETTINGS, progress=False)
        except Exception as error:
            print(type(error).__name__, error)
    """
    printed, errors = python(code).communicate()
    assert printed.startswith("RunError"), printed + errors
    assert "last.ckpt' could not be written" in printed and "finished files are kept" in printed
    assert (trained / "last.ckpt").read_bytes() == before
    assert not list(trained.glob(".*.part")) and not list(trained.glob(".*lock"))
    fit(new_vae(8), dataset, trained, SETTINGS, progress=False)
    assert step_of(trained) == 8
    trained_lines = [m for m in read_metrics(trained / "metrics.jsonl") if "loss" in m]
    assert [m["step"] for m in trained_lines] == [2, 4, 6, 8]


def test_a_damaged_checkpoint_is_named_and_never_run(
    dataset: CrystalDataset, trained: Path, record_property: Callable[[str, object], None]
) -> None:
    whole = (trained / "last.ckpt").read_bytes()
    marker = trained / "executed"

    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(marker),)

    torch.save({"global_step": Bomb(), "state_dict": {}}, trained / "bomb")
    bomb = (trained / "bomb").read_bytes()
    weights = torch.load(trained / "last.ckpt", weights_only=True)
    del weights["optimizer_states"]  # as in best.ckpt
    torch.save(weights, trained / "weights")
    alone = (trained / "weights").read_bytes()
    for content in (whole[: len(whole) // 2], whole[:100], b"", b"x" * 5000, bomb, alone):
        (trained / "last.ckpt").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"last\.ckpt cannot be read"):
            fit(new_vae(8), dataset, trained, SETTINGS)
    record_property("malicious_files", 1)
    record_property("executions", int(marker.exists()))
    assert not marker.exists()
    (trained / "last.ckpt").write_bytes(whole)
    fit(new_vae(6), dataset, trained, SETTINGS)
    assert step_of(trained) == 6


def test_a_second_process_is_told_who_trains_there(
    dataset: CrystalDataset, trained: Path, python: Callable[..., subprocess.Popen[str]]
) -> None:
    before = (trained / "last.ckpt").read_bytes()
    holder = python(f"""
        import time
        from crystal_ldm.files import DirectoryLock
        DirectoryLock({str(trained)!r}).acquire()
        print("held", flush=True)
        time.sleep(600)
    """)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(RunError, match=f"in use by process {holder.pid}"):
        fit(new_vae(8), dataset, trained, SETTINGS)
    assert (trained / "last.ckpt").read_bytes() == before
    holder.kill()  # its lock dies with it
    holder.wait()
    fit(new_vae(6), dataset, trained, SETTINGS)
    assert step_of(trained) == 6


def test_a_directory_without_rights_is_one_sentence(
    dataset: CrystalDataset, without_rights: Callable[[Callable[[], object]], str]
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o555)
        told = without_rights(lambda: fit(new_vae(4), dataset, folder / "run", SETTINGS))
    finally:
        folder.rmdir()
    assert told.startswith("RunError") and "no permission" in told and "\n" not in told
