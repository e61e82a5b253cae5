"""Training that starts from the weights of another model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import ConfigError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.nn.checkpoints import module_metadata, save_safetensors
from crystal_ldm.training import average_models
from crystal_ldm.training.experiment import build_module
from crystal_ldm.vae_module import VAEModule
from tests.conftest import make_tiny_ldm


@pytest.fixture
def new_ldm(known_batch: CrystalBatch) -> Callable[[], LDMModule]:
    """Tiny models that a test may change."""
    return lambda: make_tiny_ldm(known_batch)


def saved(module: LDMModule | VAEModule, path: Path) -> Path:
    save_safetensors(module, path, half=False)
    return path


def test_the_architecture_is_the_models_and_the_numbers_of_training_are_new(
    new_ldm: Callable[[], LDMModule], tmp_path: Path
) -> None:
    path = saved(new_ldm(), tmp_path / "ldm.safetensors")
    new = {
        "_target_": "LDMModule",
        "denoiser": {"_target_": "DiT", "hidden_size": 512},
        "conditions": {"composition": {"_target_": "Composition", "dropout": 0.37}},
        "ema_decay": 0.5,
        "optimizer": {"_target_": "Optimizer", "max_steps": 77},
        "seed": 9,
    }
    checkpoint = tmp_path / "best.ckpt"  # whose weights in training are not those it is chosen by
    trained = new_ldm()
    with torch.no_grad():
        trained.network.denoiser.output.weight.add_(1)
    metadata = module_metadata(trained)
    torch.save({"crystal_ldm": metadata, "state_dict": trained.state_dict()}, checkpoint)
    for start in (path, checkpoint):
        weights = build_module(new, "ldm_module", init_from=start).network.state_dict()
        for name, tensor in trained.sampler_network.state_dict().items():
            assert torch.equal(weights[name], tensor)
    ldm = build_module(new, "ldm_module", init_from=path)
    assert ldm.network.denoiser.hidden_size != 512
    assert ldm.network.composition is not None and ldm.network.composition.dropout == 0.37
    assert (ldm.optimizer.max_steps, ldm.seed, ldm.config["ema_decay"]) == (77, 9, 0.5)
    assert ldm.model_hash == LDMModule.load_from_checkpoint(path).model_hash


def test_an_ldm_takes_another_vae_and_its_latents(
    new_ldm: Callable[[], LDMModule], known_batch: CrystalBatch, tmp_path: Path
) -> None:
    first, second = new_ldm(), new_ldm()
    with torch.no_grad():  # another VAE: its latents are three times as large
        for parameter in second.vae.encoder.out.parameters():
            parameter.mul_(3)
    ldm_file = saved(first, tmp_path / "ldm.safetensors")
    vae_file = saved(second.vae, tmp_path / "vae.safetensors")
    config = {"_target_": "LDMModule"}
    ldm = build_module(config, "ldm_module", vae_ckpt=vae_file, init_from=ldm_file)
    before = first.vae.encode(known_batch)
    assert torch.allclose(ldm.vae.encode(known_batch), 3 * before, atol=1e-5)
    for a, b in zip(
        ldm.network.state_dict().values(), first.ema.module.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)
    scalar = {"_target_": "ScalarCondition", "label": "band_gap"}
    more = {**config, "conditions": {"mine": scalar}}
    mixed = build_module(more, "ldm_module", vae_ckpt=vae_file, init_from=ldm_file)
    mixed.choose_weights(freeze=True)  # the old denoiser does not know these latents
    assert all(p.requires_grad for p in mixed.network.parameters())
    assert mixed.hashes == (mixed.model_hash,)
    many = CrystalBatch.cat([known_batch] * 3)
    ldm.set_data(many, {})
    first.set_data(many, {})
    assert torch.allclose(ldm.latent_std, 3 * first.latent_std, rtol=1e-4)


def test_a_decoder_trained_alone_leaves_latents_and_ldm_as_they_are(
    new_ldm: Callable[[], LDMModule], known_batch: CrystalBatch, tmp_path: Path
) -> None:
    ldm = new_ldm()
    ldm.set_data(CrystalBatch.cat([known_batch] * 3), {"dataset": "one"})
    config = {"_target_": "VAEModule", "freeze_encoder": True}
    file = saved(ldm.vae, tmp_path / "vae.safetensors")
    vae = build_module(config, "vae_module", init_from=file)
    optimizer = vae.configure_optimizers()["optimizer"]
    vae.calculate_loss(known_batch)["loss"].backward()
    optimizer.step()

    before = ldm.vae.decoder.state_dict()
    assert any(not torch.equal(a, before[n]) for n, a in vae.decoder.state_dict().items())
    assert torch.equal(vae.encode(known_batch), ldm.vae.encode(known_batch))
    mean = ldm.latent_mean.clone()
    ldm.replace_vae(vae)
    assert ldm.data_info["dataset"] == "one" and torch.equal(ldm.latent_mean, mean)
    with pytest.raises(ConfigError, match="init_from"):
        build_module({**new_ldm().vae.config, **config}, "vae_module")


def test_the_mean_of_two_models(
    new_ldm: Callable[[], LDMModule], known_batch: CrystalBatch, tmp_path: Path
) -> None:
    first, second = new_ldm(), new_ldm()
    weight = second.ema.module.denoiser.output.weight
    with torch.no_grad():
        weight.add_(0.5)
    files = [
        saved(ldm, tmp_path / f"{name}.safetensors")
        for name, ldm in (("first", first), ("second", second))
    ]
    average_models(files, tmp_path / "mean.safetensors")
    mean = LDMModule.load_from_checkpoint(tmp_path / "mean.safetensors")
    found = mean.sampler_network.denoiser.output.weight
    assert torch.allclose(found, weight - 0.25, atol=2e-3)  # written in half precision
    assert torch.allclose(
        mean.sampler_network.denoiser.input.weight,
        first.ema.module.denoiser.input.weight,
        atol=2e-3,
    )
    with pytest.raises(ConfigError, match="at least two"):
        average_models(files[:1], tmp_path / "one.safetensors")
    with torch.no_grad():
        second.vae.encoder.out.weight.mul_(2)
    other = saved(second, tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match="another VAE"):
        average_models([files[0], other], tmp_path / "none.safetensors")


def test_a_vae_of_another_width_is_refused(
    new_ldm: Callable[[], LDMModule], tmp_path: Path
) -> None:
    ldm = new_ldm()
    narrow = {"hidden_size": 16, "depth": 1, "num_heads": 2, "latent_dim": 3}
    config = {
        "_target_": "VAEModule",
        "encoder": {"_target_": "Encoder", **narrow},
        "decoder": {"_target_": "Decoder", **narrow},
    }
    vae = saved(build_module(config, "vae_module"), tmp_path / "vae.safetensors")
    with pytest.raises(ConfigError, match="latent_dim"):
        build_module(
            {"_target_": "LDMModule"},
            "ldm_module",
            vae_ckpt=vae,
            init_from=saved(ldm, tmp_path / "ldm.safetensors"),
        )


def test_a_held_out_label_out_of_range_counts_as_missing(
    new_ldm: Callable[[], LDMModule], known_batch: CrystalBatch
) -> None:
    ldm = new_ldm()
    low, high = ldm.network.properties["band_gap"].bounds
    gaps = torch.full((len(known_batch),), (low + high) / 2)
    gaps[0], gaps[1] = high + 5, torch.nan
    crystals = replace(known_batch, conditions={"band_gap": gaps})
    encoded = ldm.training_items(crystals).encoded["band_gap"][:, 0]
    assert encoded.isnan().tolist() == [True, True] + [False] * (len(known_batch) - 2)


def test_a_further_training_set_widens_the_range(
    new_ldm: Callable[[], LDMModule], known_batch: CrystalBatch
) -> None:
    ldm = new_ldm()
    low, high = ldm.conditions["band_gap"].bounds
    gaps = torch.full((len(known_batch),), high + 5)
    crystals = replace(known_batch, conditions={"band_gap": gaps})
    ldm.extend_data(crystals, {"dataset": "mine"})
    assert ldm.conditions["band_gap"].bounds == pytest.approx((low, high + 5))
    assert not ldm.training_items(crystals).encoded["band_gap"].isnan().any()
    assert ldm.data_info["dataset"] == "mine"
