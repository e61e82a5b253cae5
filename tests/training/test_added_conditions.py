"""A condition is added to a trained model by fine-tuning."""

from __future__ import annotations

import csv
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import crystal_ldm
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.data import CrystalDataset, load_dataset
from crystal_ldm.errors import ConfigError, DataError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.added_conditions import add_conditions, freeze_trained
from crystal_ldm.ldm_module.composition_model import training as composition_training
from crystal_ldm.ldm_module.condition import SpaceGroupCondition
from crystal_ldm.training import TrainingSettings, fit, read_metrics
from crystal_ldm.training.experiment import (
    build_module,
    load_experiment,
    not_yet_steering,
    read_conditions,
)
from crystal_ldm.training.fit import _labelled
from tests.conftest import make_tiny_ldm

REQUEST = CrystalBatch.from_formulas(["NaCl", "Sr?O3"], band_gap=[2.0, None])
OPTIONS = {"sampling_steps": 2, "seed": 3, "filters": []}
STEPS = 12


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The composition model takes as few: nothing here asks how well it learns."""
    monkeypatch.setattr(composition_training, "ADDED_STEPS", STEPS)


@pytest.fixture(scope="module")
def own_data(tmp_path_factory: pytest.TempPathFactory) -> CrystalDataset:
    """60 crystals of common elements and their densities in g/cm³, as a user's table."""
    crystals = load_dataset("oqmd_icsd", progress=False)
    rows = [i for i in crystals.indices("train") if crystals.num_atoms[i] <= 4][:60]
    folder = tmp_path_factory.mktemp("own data, with (brackets) = ü")
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "density", "cif"])
        for i in rows:
            structure = crystals.structure(i)
            writer.writerow([crystals.ids[i], float(structure.density), structure.to(fmt="cif")])
    return load_dataset(folder / "table.csv", cache_dir=folder / "cache", progress=False)


def new_model(freeze: bool | None = None, **conditions: object) -> tuple[LDMModule, dict]:
    config = load_experiment(
        "finetune",
        [f"ldm_module.optimizer.max_steps={STEPS}", f"training.freeze={str(freeze).lower()}"]
        if freeze is not None
        else [f"ldm_module.optimizer.max_steps={STEPS}"],
        seed=0,
        conditions=conditions or {"density": "g/cm^3"},
    )
    module = build_module(config["ldm_module"], "ldm_module", init_from="oqmd_icsd")
    module.composition_model.epochs = STEPS
    return module, config


def same_crystals(a: LDMModule, b: LDMModule) -> bool:
    first, second = (m.sample(REQUEST, 2, **OPTIONS).crystals for m in (a, b))
    return (
        torch.equal(first.atomic_numbers, second.atomic_numbers)
        and torch.equal(first.frac_coords, second.frac_coords)
        and torch.equal(first.lattices, second.lattices)
    )


def test_before_the_first_step_the_model_is_the_old_one(own_data: CrystalDataset) -> None:
    old = crystal_ldm.load_pretrained(device="cpu")
    new, _ = new_model()
    assert list(new.conditions) == [*old.conditions, "density"]
    assert new.elements == old.elements and new.max_atoms == old.max_atoms
    assert same_crystals(old, new.eval())
    train = own_data.batch(own_data.indices("train"))
    new.extend_data(train, {"dataset": "mine", "num_atoms_histogram": [0, 1]})
    assert new.num_atoms_histogram == old.num_atoms_histogram
    low, high = new.conditions["density"].bounds
    asked = CrystalBatch.from_formulas(["NaCl"], density=[(low + high) / 2])
    plain = CrystalBatch.from_formulas(["NaCl"])
    made = [new.sample(r, 1, **OPTIONS).crystals.lattices for r in (asked, plain)]
    assert torch.allclose(made[0], made[1], atol=1e-5)  # it has learnt nothing of densities yet


def test_frozen_only_the_new_parts_learn_and_nothing_is_forgotten(
    own_data: CrystalDataset, tmp_path: Path
) -> None:
    old = crystal_ldm.load_pretrained(device="cpu")
    module, config = new_model()
    tuned = fit(module, own_data, tmp_path, TrainingSettings(**config["training"]), progress=False)
    before = old.sampler_network.state_dict()
    after = tuned.sampler_network.state_dict()
    # What the training sets are like is no weight.
    noted = ("conditions.band_gap.statistics", "conditions.space_group.counts")
    assert all(torch.equal(t, after[name]) for name, t in before.items() if name not in noted)
    learnt = after["conditions.density.adapter_layers.2.weight"]
    assert float(learnt.abs().max()) > 0
    assert same_crystals(old, tuned)  # without the new condition
    again = LDMModule.load_from_checkpoint(tmp_path / "model.safetensors")
    asked = CrystalBatch.from_num_atoms([4], density=[5.0])
    made = [m.sample(asked, 4, **OPTIONS).crystals.lattices for m in (tuned, again)]
    assert torch.equal(*made)
    model = tuned.composition_model.state_dict()
    assert all(
        torch.equal(t, model[n])
        for n, t in old.composition_model.state_dict().items()
        if n not in noted
    )
    assert float(model["conditions.density.adapter_layers.2.weight"].abs().max()) > 0


def test_a_training_that_ended_early_says_that_it_cannot_steer_yet(
    own_data: CrystalDataset, tmp_path: Path
) -> None:
    module, config = new_model()
    stop = threading.Event()

    def ended(line: dict[str, float]) -> None:
        if line["step"] >= 10:
            stop.set()

    settings = TrainingSettings(**config["training"])
    fit(module, own_data, tmp_path, settings, stop=stop, live=ended, progress=False)
    said = not_yet_steering(module, read_metrics(tmp_path / "metrics.jsonl"))
    assert f"'density' cannot steer yet: 10 of {STEPS} steps are done" in said
    assert "same run_dir again" in said
    plain = build_module(config["ldm_module"] | {"conditions": {}}, "ldm_module",
                         init_from="oqmd_icsd")  # fmt: skip
    plain.global_step = 0
    assert not_yet_steering(plain, []) == ""
    whole = [{"step": STEPS, "composition_epoch": 600.0, "composition_epochs": 600.0}]
    module.global_step = STEPS
    assert not_yet_steering(module, whole) == ""


def test_unfrozen_all_weights_learn_the_null_embedding_too(
    own_data: CrystalDataset, tmp_path: Path
) -> None:
    module, config = new_model(freeze=False)
    before = {n: t.clone() for n, t in module.network.named_parameters()}
    fit(module, own_data, tmp_path, TrainingSettings(**config["training"]), progress=False)
    after = dict(module.network.named_parameters())
    for name in ("denoiser.output.weight", "conditions.density.null"):
        assert not torch.equal(before[name], after[name])


def test_what_cannot_be_added_is_one_sentence(own_data: CrystalDataset, tmp_path: Path) -> None:
    module, config = new_model(gap_width={"label": "density_", "unit": "eV"})
    settings = TrainingSettings(**config["training"])
    with pytest.raises(DataError, match=r"no label 'density_'. Did you mean 'density'"):
        fit(module, own_data, tmp_path, settings, progress=False)
    fresh = load_experiment("ldm_composition", seed=0)
    ldm = build_module(fresh["ldm_module"], "ldm_module", vae_ckpt="oqmd_icsd")
    with pytest.raises(DataError, match="init_from=oqmd_icsd"):
        fit(ldm, own_data, tmp_path, settings, progress=False)
    with pytest.raises(ConfigError, match="takes no compositions"):
        build_module(
            {**fresh["ldm_module"], "conditions": {"formula": {"_target_": "Composition"}}},
            "ldm_module",
            init_from="oqmd_icsd",
        )
    with pytest.raises(ConfigError, match="has no conditions"):
        load_experiment("vae", conditions={"density": ""})


def test_conditions_are_read_short_and_long() -> None:
    scalar = {"_target_": "ScalarCondition", "unit": "GPa"}
    assert read_conditions({"k": "GPa"}) == {"k": scalar}
    assert read_conditions({"bulk": {"label": "k", "unit": "GPa"}}) == {
        "bulk": {**scalar, "label": "k"}
    }
    assert read_conditions({"system": {"options": ["cubic"]}})["system"]["_target_"] == (
        "CategoryCondition"
    )
    for wrong in ({"k": 3}, {"k vrh": "GPa"}):
        with pytest.raises(ConfigError):
            read_conditions(wrong)
    with pytest.raises(ConfigError, match="has no such key"):
        load_experiment("finetune", conditions={"k": {"unnit": "GPa"}})


def test_any_path_is_a_path() -> None:
    for path in ("/tmp/ü=(,#[ x", "/a,b/c", "/a/it's", "a\\b", "[x]", "12", "/x y/{z}"):
        assert load_experiment("vae", dataset=path)["data"]["dataset"] == path
        assert load_experiment("vae", [f"data.dataset={path}"])["data"]["dataset"] == path


def test_a_condition_that_no_file_names_is_added_by_an_override() -> None:
    override = "ldm_module.conditions.bulk={_target_: ScalarCondition, label: k_vrh, unit: GPa}"
    config = load_experiment("mp_20/ldm_joint", [override])
    assert config["data"]["dataset"] == "mp_20"
    assert list(config["ldm_module"]["conditions"]) == ["composition", "band_gap", "bulk"]
    with pytest.raises(ConfigError, match="Did you mean 'ScalarCondition'"):
        load_experiment("ldm_joint", [override.replace("Scalar", "Scalr")])


def test_data_dir_is_used_or_refused(own_data: CrystalDataset, tmp_path: Path) -> None:
    from crystal_ldm.training.experiment import load_data

    with pytest.raises(ConfigError, match="write dataset="):
        load_data(load_experiment("vae"), tmp_path)
    assert np.isfinite(own_data.labels["density"]).all()


def test_a_space_group_needs_no_label(known_batch: CrystalBatch) -> None:
    config = load_experiment("finetune", conditions={"space_group": {"adapter": 0}})
    assert config["ldm_module"]["conditions"]["space_group"]["_target_"] == "SpaceGroupCondition"
    ldm = make_tiny_ldm(known_batch)
    before, wanted = ldm.model_hash, CrystalBatch.from_formulas(["NaCl"], formula_units=[1])
    crystals = ldm.sample(wanted, 3, seed=1).crystals
    add_conditions(ldm, {"space_group": SpaceGroupCondition(label="space_group")})
    ldm.extend_data(known_batch, {})
    freeze_trained(ldm)
    assert before in ldm.hashes
    assert before != ldm.model_hash
    assert torch.equal(ldm.sample(wanted, 3, seed=1).crystals.lattices, crystals.lattices)
    counts = ldm.conditions["space_group"].counts
    assert counts.sum() == len(known_batch)
    assert counts[224] >= 1  # rock salt


def test_conditions_of_one_kind_look_for_their_labels_once(known_batch: CrystalBatch) -> None:
    ldm = make_tiny_ldm(known_batch)
    for name in ("space_group", "mine"):
        add_conditions(ldm, {name: SpaceGroupCondition(label=name)})
    part = _labelled(known_batch[torch.arange(len(known_batch))], ldm)
    assert part.conditions["mine"] is part.conditions["space_group"]
    assert all(1 <= number <= 230 for number in part.conditions["mine"])
