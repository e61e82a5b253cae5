"""Training: a run that was stopped or killed ends like one that was not."""

from __future__ import annotations

import itertools
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from crystal_ldm.config import instantiate
from crystal_ldm.data import CrystalDataset
from crystal_ldm.errors import CheckpointError, ConfigError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.training import fit, read_metrics
from crystal_ldm.training.experiment import build_module, load_experiment
from crystal_ldm.training.optimizer import Optimizer
from crystal_ldm.vae_module import VAEModule

OPTIONS = {"batch_size": 32, "log_every": 5, "validate_every": 10, "progress": False}
SIZE = {"hidden_size": 32, "depth": 1, "num_heads": 2}


def vae_config(max_steps: int) -> dict:
    return {
        "_target_": "VAEModule",
        "encoder": {"_target_": "Encoder", **SIZE},
        "decoder": {"_target_": "Decoder", **SIZE},
        "optimizer": {"_target_": "Optimizer", "max_steps": max_steps, "warmup_steps": 5},
    }


def new_vae(max_steps: int) -> VAEModule:
    torch.manual_seed(0)  # Lightning modules take their first weights from torch's generator
    vae = instantiate(vae_config(max_steps))
    vae.config = vae_config(max_steps)
    return vae


def curve(folder: Path) -> list[tuple[float, float]]:
    return [(m["step"], m["loss"]) for m in read_metrics(folder / "metrics.jsonl") if "loss" in m]


def test_a_resumed_run_has_the_curve_of_an_uninterrupted_one(
    dataset: CrystalDataset, tmp_path: Path
) -> None:
    fit(new_vae(30), dataset, tmp_path / "whole", **OPTIONS)

    def stop_at_15(line: dict[str, float]) -> None:
        if line["step"] >= 15:
            stop.set()

    import threading

    stop = threading.Event()
    fit(new_vae(30), dataset, tmp_path / "parts", stop=stop, live=stop_at_15, **OPTIONS)
    assert curve(tmp_path / "parts")[-1][0] == 15
    fit(new_vae(30), dataset, tmp_path / "parts", **OPTIONS)

    whole, parts = curve(tmp_path / "whole"), curve(tmp_path / "parts")
    assert [s for s, _ in whole] == [s for s, _ in parts] == [5, 10, 15, 20, 25, 30]
    for (_, a), (_, b) in zip(whole, parts, strict=True):
        assert a == pytest.approx(b, rel=1e-4)
    assert whole[-1][1] < whole[0][1]


def test_a_killed_run_goes_on(
    dataset: CrystalDataset, tmp_path: Path, python: Callable[..., subprocess.Popen[str]]
) -> None:
    run = tmp_path / "run"
    code = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_fit import OPTIONS, new_vae
        from crystal_ldm.data import CrystalDataset
        from crystal_ldm.training import fit
        fit(new_vae(100000), CrystalDataset.open({str(dataset.path)!r}), {str(run)!r},
            checkpoint_minutes=0.001, **OPTIONS)
    """
    process = python(code)
    deadline = time.monotonic() + 120
    while not (len(curve(run)) > 6 and (run / "last.ckpt").is_file()):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = torch.load(run / "last.ckpt", weights_only=True)["global_step"]
    fit(new_vae(before + 10), dataset, run, **OPTIONS)
    steps = [s for s, _ in curve(run)]
    assert steps == sorted(set(steps)) and steps[-1] > before
    assert not list(run.glob(".*ckpt*"))


def test_an_ldm_learns_and_starts_from_weights(dataset: CrystalDataset, tmp_path: Path) -> None:
    fit(new_vae(40), dataset, tmp_path / "vae", **OPTIONS)
    overrides = [f"ldm_module.denoiser.{k}={v}" for k, v in SIZE.items()]
    overrides += ["ldm_module.optimizer.max_steps=40", "ldm_module.optimizer.warmup_steps=5"]
    config = load_experiment("oqmd_icsd/ldm_joint", overrides, seed=3)["ldm_module"]
    ldm = build_module(config, "ldm_module", vae_ckpt=tmp_path / "vae")
    trained = fit(ldm, dataset, tmp_path / "ldm", **OPTIONS)
    losses = curve(tmp_path / "ldm")
    assert losses[-1][1] < losses[0][1]
    assert set(trained.elements) == set(trained.vae.elements) == set(dataset.vocabulary())
    assert trained.conditions["band_gap"].describe()["max"] == pytest.approx(3.3, abs=1e-4)

    again = LDMModule.load_from_checkpoint(tmp_path / "ldm" / "model.safetensors")
    assert again.model_hash == trained.model_hash
    fresh = build_module(config, "ldm_module", init_from=tmp_path / "ldm")
    assert fresh.model_hash == trained.model_hash
    with pytest.raises(ConfigError, match="vae_ckpt"):
        build_module(config, "ldm_module")
    with pytest.raises(CheckpointError, match="kind 'vae'"):
        build_module(config, "ldm_module", init_from=tmp_path / "vae")


def test_the_learning_rate_depends_on_the_step_alone() -> None:
    optimizer = Optimizer(learning_rate=1.0, warmup_steps=10, max_steps=100, final_share=0.1)
    factors = [optimizer.factor(step) for step in range(120)]
    assert factors[0] == pytest.approx(0.1) and max(factors) == pytest.approx(1.0)
    assert factors[100] == factors[119] == pytest.approx(0.1)
    assert all(a >= b for a, b in itertools.pairwise(factors[10:]))
