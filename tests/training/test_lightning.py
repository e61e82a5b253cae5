"""A training says where it ran and in which precision."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crystal_ldm.data import CrystalDataset
from crystal_ldm.nn import device_and_precision as device
from crystal_ldm.training import TrainingSettings, fit
from tests.training.conftest import new_vae


@pytest.mark.parametrize(("speedup", "used"), [(2.0, "bf16-mixed"), (0.5, "32-true")])
def test_a_training_names_the_precision_that_auto_stands_for(
    dataset: CrystalDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    speedup: float,
    used: str,
) -> None:
    monkeypatch.setattr(device, "_cpu_bfloat16_speedup", lambda: speedup)
    fit(new_vae(2), dataset, tmp_path, TrainingSettings(batch_size=8), accelerator="cpu")
    assert f"training on cpu in precision {used}" in capsys.readouterr().out
    written = json.loads((tmp_path / "hardware.json").read_text())
    assert written == {"device": "cpu", "precision": used}
