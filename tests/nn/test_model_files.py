"""Damaged and hostile model files: one sentence each, and nothing is built from them."""

from __future__ import annotations

import copy
import json
import pickle
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from crystal_ldm.config import config_names, instantiate, load_config
from crystal_ldm.errors import CrystalLDMError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.nn.checkpoints import Checkpoint, module_metadata, save_safetensors


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(metadata: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for name in parents:
            metadata = metadata[name]
        metadata[last] = value

    return change


def _deep(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


WRONG = {
    "a million layers": (_set("config.denoiser.depth", 10**6), "a larger model"),
    "a trillion layers": (_set("config.denoiser.depth", 10**12), "a larger model"),
    "a wide VAE": (_set("config.vae.decoder.hidden_size", 10**6), "a larger model"),
    "a huge place": (_set("config.denoiser.max_atoms", 10**10), "a larger model"),
    "endless diffusion": (_set("config.diffusion.timesteps", 10**12), "timesteps"),
    "a negative width": (_set("config.denoiser.hidden_size", -4), "."),
    "no heads": (_set("config.denoiser.num_heads", 0), "."),
    "text for depth": (_set("config.denoiser.depth", "x"), "depth"),
    "an unknown kind": (_set("kind", "gan"), "kind must be one of vae, ldm"),
    "configuration is a list": (_set("config", []), "config must be a mapping"),
    "deep": (_set("config.denoiser", _deep(200)), "denoiser"),
    "huge": (_set("data_info.note", "x" * 17 * 2**20), "17 MiB"),
    "a negative count": (_set("data_info.num_atoms_histogram", [0, -1, 2]), "no histogram"),
    "an empty histogram": (_set("data_info.num_atoms_histogram", [0, 0]), "no histogram"),
    "cells without atoms": (_set("data_info.num_atoms_histogram", [5, 1]), "no histogram"),
    "text counts": (_set("data_info.num_atoms_histogram", ["a"]), "num_atoms_histogram"),
    "NaN counts": (_set("data_info.num_atoms_histogram", [0, float("nan")]), "num_atoms_histogram"),
    "huge cells": (_set("data_info.num_atoms_histogram", [0] * 900 + [1]), "room for"),
    "an unknown element": (_set("data_info.elements", ["Xx"]), "'Xx', which is none"),
    "no elements": (_set("data_info.elements", []), "elements"),
    "an element twice": (_set("data_info.elements", ["O", "O"]), "one twice"),
    "elements of the VAE": (_set("data_info.vae", []), "vae must be a mapping"),
}


def _written(ldm: LDMModule, path: Path, metadata: Any) -> Path:
    save_safetensors(ldm, path)
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    save_file(load_file(path), path, {"crystal_ldm": text})
    return path


@pytest.mark.parametrize("name", WRONG)
def test_odd_metadata_are_refused_in_a_sentence(
    name: str, tiny_ldm: LDMModule, tmp_path: Path
) -> None:
    change, told = WRONG[name]
    metadata = copy.deepcopy(module_metadata(tiny_ldm))
    change(metadata)
    path = _written(tiny_ldm, tmp_path / "model.safetensors", metadata)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(CrystalLDMError, match=told) as caught:
        LDMModule.load_from_checkpoint(path)
    assert len(str(caught.value)) < 700 and "\n" not in str(caught.value)
    assert time.monotonic() - start < 20
    if sys.platform == "linux":  # in KiB
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 2**10


def test_metadata_that_recurse_are_refused(tiny_ldm: LDMModule, tmp_path: Path) -> None:
    path = _written(tiny_ldm, tmp_path / "model.safetensors", "[" * 100_000 + "]" * 100_000)
    with pytest.raises(CrystalLDMError, match="metadata"):
        LDMModule.load_from_checkpoint(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["safetensors", "ckpt"])
def test_weights_that_are_no_numbers_are_refused(
    kind: str, value: float, tiny_ldm: LDMModule, tmp_path: Path
) -> None:
    path = tmp_path / f"model.{kind}"
    save_safetensors(tiny_ldm, tmp_path / "model.safetensors")
    state = load_file(tmp_path / "model.safetensors")
    name = next(n for n in state if n.startswith("ema.") and n.endswith("weight"))
    state[name].view(-1)[0] = value
    if kind == "ckpt":
        torch.save({"state_dict": state, "crystal_ldm": module_metadata(tiny_ldm)}, path)
    else:
        save_file(state, path, {"crystal_ldm": json.dumps(module_metadata(tiny_ldm))})
    with pytest.raises(CrystalLDMError, match="no finite numbers"):
        LDMModule.load_from_checkpoint(path)


def test_tensors_that_a_file_cannot_hold_are_refused(tiny_ldm: LDMModule, tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    state = {"ema.module.weight": torch.zeros(1).expand(10**6, 10**6)}  # one number, repeated
    torch.save({"state_dict": state, "crystal_ldm": module_metadata(tiny_ldm)}, path)
    with pytest.raises(CrystalLDMError, match="more than the file has bytes"):
        Checkpoint.read(path)


def test_a_file_larger_than_any_model_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.truncate(9 * 2**30)  # sparse: no space is used
    with pytest.raises(CrystalLDMError, match=r"9\.0 GiB"):
        Checkpoint.read(path)


def test_each_shipped_configuration_can_be_rehearsed() -> None:
    """Every experiment's model is built without memory, as it is before its file is filled in."""
    vae = load_config("vae_module/vae_dng")
    experiments = [name for name in config_names() if name.startswith("experiment/")]
    assert experiments
    for name in experiments:
        config = load_config(name)
        key = "ldm_module" if "ldm_module" in config else "vae_module"
        content = {**config[key], "vae": vae} if key == "ldm_module" else config[key]
        with torch.device("meta"):
            module = instantiate(content)
        assert all(parameter.is_meta for parameter in module.parameters()), name


def test_a_model_can_be_pickled(tiny_ldm: LDMModule) -> None:
    again = pickle.loads(pickle.dumps(tiny_ldm))
    assert again.model_hash == tiny_ldm.model_hash
    first = tiny_ldm.sample(num_samples=2, seed=3)
    second = again.sample(num_samples=2, seed=3)
    assert torch.equal(first.crystals.frac_coords, second.crystals.frac_coords)
