"""Training: a run that was stopped or killed ends like one that was not."""

from __future__ import annotations

import itertools
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crystal_ldm.config import instantiate
from crystal_ldm.data import CrystalDataset
from crystal_ldm.errors import CheckpointError, ConfigError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.nn.checkpoints import save_safetensors
from crystal_ldm.nn.optimizer import Optimizer
from crystal_ldm.random import crystal_generator
from crystal_ldm.training import TrainingSettings, fit, read_metrics
from crystal_ldm.training.experiment import build_module, load_experiment
from crystal_ldm.training.fit import usable_parts
from crystal_ldm.training.validation import held_out_request, predict
from tests.training.conftest import SETTINGS, new_vae, small_ldm, vae_config


class StopAfter(threading.Event):
    """Stop that is asked for at the step number `steps` of a call."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def is_set(self) -> bool:
        self.steps -= 1
        return self.steps <= 0


def step_of(run: Path) -> int:
    return int(torch.load(run / "last.ckpt", weights_only=True)["global_step"])


def curve(folder: Path) -> list[tuple[float, float]]:
    return [(m["step"], m["loss"]) for m in read_metrics(folder / "metrics.jsonl") if "loss" in m]


def test_a_resumed_run_has_the_curve_of_an_uninterrupted_one(
    dataset: CrystalDataset, tmp_path: Path
) -> None:
    fit(new_vae(30), dataset, tmp_path / "whole", SETTINGS)
    for steps in (12, 1):  # in the middle of what a line of metrics averages, and right after
        fit(new_vae(30), dataset, tmp_path / "parts", SETTINGS, stop=StopAfter(steps))
    assert step_of(tmp_path / "parts") == 13
    fit(new_vae(30), dataset, tmp_path / "parts", SETTINGS)

    whole, parts = curve(tmp_path / "whole"), curve(tmp_path / "parts")
    assert [s for s, _ in whole] == [s for s, _ in parts] == [5, 10, 15, 20, 25, 30]
    for (_, a), (_, b) in zip(whole, parts, strict=True):
        assert a == pytest.approx(b, rel=1e-5)
    assert whole[-1][1] < whole[0][1]


def test_all_weights_learn_as_in_a_training_of_many_crystals(
    dataset: CrystalDataset, tmp_path: Path
) -> None:
    """A large data set decides so by itself (`FREEZE_BELOW`)."""
    fit(new_vae(2), dataset, tmp_path, replace(SETTINGS, freeze=False))
    assert step_of(tmp_path) == 2


def test_the_seed_decides_the_first_weights() -> None:
    first, again = new_vae(1), new_vae(1)
    torch.rand(7)  # whatever the process has drawn before
    other = build_module({**vae_config(1), "seed": 1}, "vae_module")
    weights = [m.encoder.state_dict() for m in (first, again, other)]
    assert all(torch.equal(a, weights[1][n]) for n, a in weights[0].items())
    assert any(not torch.equal(a, weights[2][n]) for n, a in weights[0].items())


def test_settings_out_of_range_are_one_sentence() -> None:
    with pytest.raises(ConfigError, match="batch_size should be a whole number of at least 1"):
        TrainingSettings(batch_size=0)
    with pytest.raises(ConfigError, match=r"training.log_every should be a whole number"):
        TrainingSettings(log_every=2.5)  # type: ignore[arg-type]
    assert isinstance(TrainingSettings(log_every=1e9).log_every, int)  # type: ignore[arg-type]
    for key, value in {
        "optimizer.max_steps": -1,
        "optimizer.learning_rate": -1,
        "optimizer.betas": "[0.9,1.5]",
        "denoiser.num_heads": 0,
        "denoiser.mlp_ratio": -1,
        "composition_model.dropout": 1,
        "conditions.composition.partial": 3,
        "dropout": 1.0,
    }.items():
        with pytest.raises(ConfigError, match=f"{key}.* should be .*number"):
            load_experiment("ldm_joint", [f"ldm_module.{key}={value}"])
    with pytest.raises(ConfigError, match="latent_dim is 4 and the decoder's 8"):
        encoder = {**vae_config(1)["encoder"], "latent_dim": 4}
        build_module({**vae_config(1), "encoder": encoder}, "vae_module")


def test_a_run_of_another_model_is_refused(dataset: CrystalDataset, tmp_path: Path) -> None:
    fit(new_vae(2), dataset, tmp_path, SETTINGS, progress=False)
    deeper = vae_config(4)
    deeper["encoder"]["depth"] = 2
    for config, reason in (
        (deeper, "its model has other layers"),
        ({**vae_config(4), "freeze_encoder": True}, "other weights learn in it"),
    ):
        module = instantiate(config)
        with pytest.raises(CheckpointError, match=reason):
            fit(module, dataset, tmp_path, SETTINGS, progress=False)
    assert step_of(tmp_path) == 2


def test_a_kill_right_after_a_checkpoint_changes_no_weight(
    trained_vae: Path, dataset: CrystalDataset, tmp_path: Path
) -> None:
    config = {**small_ldm(max_steps=4, experiment="ldm_bandgap"), "ema_decay": 0.5}
    settings = replace(SETTINGS, log_every=1, checkpoint_minutes=1e-9)

    class Killed(Exception):
        pass

    def kill(line: dict[str, float]) -> None:
        if line["step"] == 3:
            raise Killed

    def model() -> LDMModule:
        ldm: LDMModule = build_module(config, "ldm_module", vae_ckpt=trained_vae)
        return ldm

    whole = fit(model(), dataset, tmp_path / "whole", settings, progress=False)
    with pytest.raises(Killed):
        fit(model(), dataset, tmp_path / "parts", settings, progress=False, live=kill)
    assert step_of(tmp_path / "parts") == 2
    parts = fit(model(), dataset, tmp_path / "parts", settings, progress=False)
    assert whole.model_hash == parts.model_hash
    # A loaded model, as it comes from its file, can be trained on.
    fit(parts, dataset, tmp_path / "on", settings, progress=False, max_minutes=0)
    assert step_of(tmp_path / "on") == 1


def test_a_killed_run_goes_on(
    dataset: CrystalDataset, tmp_path: Path, python: Callable[..., subprocess.Popen[str]]
) -> None:
    run = tmp_path / "run"
    code = f"""
        from dataclasses import replace
        from tests.training.conftest import SETTINGS, new_vae
        from crystal_ldm.data import CrystalDataset
        from crystal_ldm.training import fit
        fit(new_vae(100000), CrystalDataset.open({str(dataset.path)!r}), {str(run)!r},
            replace(SETTINGS, checkpoint_minutes=0.001))
    """
    process = python(code)
    deadline = time.monotonic() + 120
    while not (len(curve(run)) > 6 and (run / "last.ckpt").is_file()):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = step_of(run)
    fit(new_vae(before + 10), dataset, run, SETTINGS)
    steps = [s for s, _ in curve(run)]
    assert steps == sorted(set(steps)) and steps[-1] > before
    assert not list(run.glob(".*ckpt*"))


def test_an_ldm_learns_and_starts_from_weights(
    trained_vae: Path, dataset: CrystalDataset, tmp_path: Path
) -> None:
    config = small_ldm(max_steps=40)
    ldm = build_module(config, "ldm_module", vae_ckpt=trained_vae)
    trained = fit(ldm, dataset, tmp_path / "ldm", SETTINGS)
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
        build_module(config, "ldm_module", init_from=trained_vae)


def test_the_composition_model_is_trained_beside_the_denoiser_and_resumes(
    trained_vae: Path, dataset: CrystalDataset, tmp_path: Path
) -> None:
    """Stopped in the middle and gone on with, it ends like one that was not."""
    config = small_ldm(max_steps=6)
    config["composition_model"] = {
        **config["composition_model"],
        "epochs": 8,
        "hidden_size": 32,
        "depth": 1,
    }
    models = {}
    for name, stops in (("whole", []), ("parts", [3, 4])):
        for stop in [*(StopAfter(n) for n in stops), None]:
            ldm = build_module(config, "ldm_module", vae_ckpt=trained_vae)
            models[name] = fit(ldm, dataset, tmp_path / name, SETTINGS, stop=stop)
    lines = read_metrics(tmp_path / "whole" / "metrics.jsonl")
    told = [line for line in lines if "composition_loss" in line]
    assert told[-1]["composition_epoch"] == told[-1]["composition_epochs"] == 8
    whole, parts = (m.composition_model.state_dict() for m in models.values())
    assert all(torch.allclose(a, parts[n], atol=1e-5) for n, a in whole.items())
    untrained = build_module(
        config, "ldm_module", vae_ckpt=trained_vae
    ).composition_model.state_dict()
    assert not torch.equal(whole["element.weight"], untrained["element.weight"])


def test_weights_are_chosen_by_what_they_generate(
    trained_vae: Path, dataset: CrystalDataset, tmp_path: Path
) -> None:
    config = small_ldm(max_steps=30)
    ldm = build_module(config, "ldm_module", vae_ckpt=trained_vae)
    best = fit(
        ldm,
        dataset,
        tmp_path,
        replace(SETTINGS, choose_by="match", match_every=10, match_crystals=6),
    )
    lines = [line for line in read_metrics(tmp_path / "metrics.jsonl") if "val_match" in line]
    assert [line["step"] for line in lines] == [10, 20, 30]
    chosen = max(lines, key=lambda line: (line["val_match"], -line.get("val_rmse", 0.0)))
    state = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert state["global_step"] == chosen["step"]
    held_out = usable_parts(dataset, best)[1]
    rows = np.sort(crystal_generator(0).permutation(len(held_out))[:6])
    match, rmse = predict(best, held_out[torch.as_tensor(rows)])
    assert (match, rmse) == (chosen["val_match"], pytest.approx(chosen.get("val_rmse")))


def test_only_models_that_take_compositions_are_chosen_by_match(
    trained_vae: Path, dataset: CrystalDataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="one of loss, match and is 'energy'"):
        replace(SETTINGS, choose_by="energy")
    with pytest.raises(ConfigError, match="choose_by=loss"):
        fit(new_vae(1), dataset, tmp_path, replace(SETTINGS, choose_by="match"))
    null = small_ldm(max_steps=1, experiment="oqmd_icsd/ldm_null")
    ldm = build_module(null, "ldm_module", vae_ckpt=trained_vae)
    with pytest.raises(ConfigError, match="'composition'"):
        fit(ldm, dataset, tmp_path, replace(SETTINGS, choose_by="match"))
    assert not list(tmp_path.iterdir())


def test_the_learning_rate_depends_on_the_step_alone() -> None:
    optimizer = Optimizer(learning_rate=1.0, warmup_steps=10, max_steps=100, final_share=0.1)
    factors = [optimizer.factor(step) for step in range(120)]
    assert factors[0] == pytest.approx(0.1) and max(factors) == pytest.approx(1.0)
    assert factors[100] == factors[119] == pytest.approx(0.1)
    assert all(a >= b for a, b in itertools.pairwise(factors[10:]))


def test_held_out_formulas_are_those_that_the_model_knows(
    dataset: CrystalDataset, tmp_path: Path
) -> None:
    """The VAE of a large data set knows more elements than an LDM trained on a small one."""
    vae = new_vae(1)
    save_safetensors(vae, tmp_path / "vae.safetensors", half=False)
    config = small_ldm(max_steps=2)
    del config["composition_model"]
    ldm = build_module(config, "ldm_module", vae_ckpt=tmp_path / "vae.safetensors")
    ldm = fit(ldm, dataset, tmp_path / "ldm", SETTINGS)
    assert set(ldm.elements) < set(ldm.vae.elements)
    ldm.data_info["elements"] = [s for s in ldm.elements if s not in ("O", "Cl", "F")]
    request = held_out_request(dataset, ldm)
    assert request is not None and len(request) >= 1
    made = ldm.sample(request, seed=0, sampling_steps=2, filters=[]).to_structures()
    assert len(made) == len(request)
    assert not {"O", "Cl", "F"} & {e.symbol for s in made for e in s.composition}


def test_a_call_without_time_trains_a_step_and_leaves_the_rest_to_the_next(
    trained_vae: Path, dataset: CrystalDataset, tmp_path: Path
) -> None:
    ldm = build_module(small_ldm(max_steps=40), "ldm_module", vae_ckpt=trained_vae)
    fit(ldm, dataset, tmp_path, SETTINGS, max_minutes=0)
    assert step_of(tmp_path) == 1 and (tmp_path / "model.safetensors").is_file()
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert not any("composition_loss" in line for line in lines)
