"""Conditions: dropped each on its own, null where missing, refused where unknown."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from crystal_ldm.config.typed import instantiate
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import ConfigError, DataError, RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.condition import (
    CategoryCondition,
    Composition,
    ElementSetCondition,
    ScalarCondition,
)
from crystal_ldm.nn.checkpoints import save_safetensors
from crystal_ldm.random import torch_generator
from crystal_ldm.training.experiment import load_experiment
from tests.conftest import make_tiny_ldm

PAIRS = [[1.0, 1.0], [2.0, 3.0], [3.0, 5.0]]


def built(condition: torch.nn.Module, name: str) -> torch.nn.Module:
    condition.build(name, 16)
    with torch.no_grad():
        for parameter in condition.parameters():
            parameter.normal_(generator=torch_generator(0))
    return condition


def test_conditions_are_dropped_on_their_own(
    tiny_ldm: LDMModule, known_batch: CrystalBatch
) -> None:
    many = CrystalBatch.cat([known_batch] * 500)
    network = copy.deepcopy(tiny_ldm.network)
    network.properties["band_gap"].dropout = 0.3
    network.composition.dropout, network.composition.partial = 0.2, 0.0
    encoded = {"band_gap": torch.full((len(many), 1), 1.0)}
    known, kept = network.drop(many.atomic_numbers, encoded, torch_generator(1))
    no_elements = (known == 0).all(dim=1)
    no_gap = kept["band_gap"].isnan().flatten()
    assert no_elements.float().mean() == pytest.approx(0.2, abs=0.03)
    assert no_gap.float().mean() == pytest.approx(0.3, abs=0.03)
    assert (no_elements & no_gap).float().mean() == pytest.approx(0.06, abs=0.02)


def test_partial_formulas_are_seen_in_training() -> None:
    composition = Composition(dropout=0.0, partial=1.0)
    numbers = torch.full((1000, 4), 8)
    left = (composition.drop(numbers, torch_generator(2)) > 0).sum(dim=1)
    assert set(left.tolist()) == {0, 1, 2, 3, 4}


def test_a_missing_number_is_the_null_condition() -> None:
    gap = built(ScalarCondition(unit="eV"), "gap")
    gap.set_data(torch.cat([torch.linspace(0, 4, 50), torch.tensor([torch.nan])]))
    embedded = gap(gap.encode(torch.tensor([1.0, torch.nan, 1.1])))
    assert torch.equal(embedded[1], gap.null)
    assert not torch.allclose(embedded[0], embedded[2], atol=1e-2)
    described = gap.describe()
    assert (described["min"], described["max"]) == (0.0, 4.0)
    assert sum(described["histogram"]["counts"]) == 50
    with pytest.raises(RequestError, match="0 to 4 eV"):
        gap.encode(torch.tensor([4.5]))
    assert gap.known(["direct", None]).isnan().all()  # a further data set's label is text


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([1.0, float("nan")], "1 crystals only"),
        ([3.3] * 20, "3.3 eV for every crystal"),
        ([*range(50), 1e9], "reaches 1e.09 eV, and nearly all others lie from 0 to 49"),
        (["direct"] * 20, "not a number"),
    ],
)
def test_a_label_that_cannot_be_learnt_is_one_sentence(values: list, told: str) -> None:
    gap = built(ScalarCondition(unit="eV"), "gap")
    with pytest.raises(DataError, match=told):
        gap.set_data(torch.tensor(values) if values[0] != "direct" else values)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e30])
def test_numbers_of_any_unit_are_told_apart(scale: float) -> None:
    rate = built(ScalarCondition(), "rate")
    rate.set_data(torch.linspace(0, 4, 50) * scale)
    low, high = rate(rate.encode(torch.tensor([0.5, 3.5]) * scale))
    assert not torch.allclose(low, high, atol=1e-2)
    with pytest.raises(RequestError, match="outside"):
        rate.encode(torch.tensor([4.5]) * scale)


@pytest.mark.parametrize("name", ["training", "forward", "keys"])
def test_a_name_that_pytorch_has_is_refused(tiny_ldm: LDMModule, name: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot be called '{name}'"):
        copy.deepcopy(tiny_ldm.network).add_condition(name, ScalarCondition())


def test_categories() -> None:
    system = built(CategoryCondition(["cubic", "hexagonal", "225"]), "system")
    encoded = system.encode(["cubic", None, 225.0])
    assert encoded[:, 0].isnan().tolist() == [False, True, False]
    embedded = system(encoded)
    assert torch.equal(embedded[1], system.null)
    assert not torch.equal(embedded[0], embedded[2])
    with pytest.raises(RequestError, match="Did you mean 'cubic'"):
        system.encode(["cubik"])
    with pytest.raises(DataError, match=r"none of cubic, hexagonal, 225; it has rutile\."):
        system.set_data(["rutile", None])


def test_capitals_and_blanks_make_no_other_category() -> None:
    kind = built(CategoryCondition(["rocksalt", "Spinel", "spinel", "ilmenite"]), "kind")
    told = (
        "Condition 'kind': 3 of 6 values are none of its options and are left out "
        "(garnet 2, SPINEL 1); no training crystal has Spinel, ilmenite, which the model "
        "cannot learn."
    )
    values = ["Rocksalt", " rocksalt ", "spinel", "SPINEL", "garnet", None, "garnet"]
    with pytest.warns(UserWarning, match="kind") as caught:
        kind.set_data(values)
    assert [str(warning.message) for warning in caught] == [told]
    index = kind.encode(kind.known(values))[:, 0]
    assert index[:3].tolist() == [0, 0, 2] and index[3:].isnan().all()
    assert kind.encode(["ROCKSALT", "Spinel"])[:, 0].tolist() == [0, 1]
    with pytest.raises(RequestError, match="'Garnet' is not one of the categories of this model"):
        kind.encode(["Garnet"])
    with pytest.warns(UserWarning, match=r"1 of 2 values .* \(garnet 1\)\.$"):
        kind.extend_data(["Rocksalt", "garnet"])


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ([True, False], ["true", "False", None]),
        ([0, 1], [0.0, 1.0, float("nan")]),
        ([0.1, 2.5], torch.tensor([0.1, 2.5, torch.nan])),
    ],
)
def test_categories_may_be_truth_values_and_numbers(options: list, values: list) -> None:
    config = {"_target_": "CategoryCondition", "options": options}
    condition = built(instantiate(config), "stable")
    condition.set_data(values)
    index = condition.encode(values)[:, 0]
    assert index[:2].tolist() == [0.0, 1.0] and index[2].isnan()


@pytest.mark.parametrize("options", [[], ["cubic", "cubic"]])
def test_options_are_given_each_once(options: list[str]) -> None:
    with pytest.raises(ConfigError, match="'system' needs options, each of them once"):
        built(CategoryCondition(options), "system").set_data(["cubic"])


def test_element_sets_do_not_depend_on_order() -> None:
    elements = built(ElementSetCondition(), "system")
    embedded = elements(elements.encode(["Sr-Ti-O", ["O", "Ti", "Sr"], None]))
    assert torch.equal(embedded[0], embedded[1])
    assert torch.equal(embedded[2], elements.null)
    assert elements.known(["O-Ti", "oxide", 3.0, None]) == ["O-Ti", None, None, None]
    with pytest.raises(DataError, match="in no row"):
        elements.set_data(["oxide", None])


def test_a_users_condition_needs_only_yaml(known_batch: CrystalBatch, tiny_ldm: LDMModule) -> None:
    config = load_experiment(
        "oqmd_icsd/ldm_joint",
        [
            "ldm_module.denoiser.hidden_size=32",
            "ldm_module.denoiser.depth=1",
            "+ldm_module.conditions.hardness={_target_: ScalarCondition, label: hv, unit: GPa}",
            "+ldm_module.conditions.family={_target_: CategoryCondition, options: [oxide, other]}",
        ],
    )["ldm_module"]
    ldm = instantiate({**config, "vae": tiny_ldm.vae.config})
    many = CrystalBatch.cat([known_batch] * 3)
    many.conditions["hv"] = torch.linspace(1, 30, len(many))
    many.conditions["family"] = ["oxide", "other", None] * 8
    ldm.vae.data_info = tiny_ldm.vae.data_info
    ldm.set_data(many, {"num_atoms_histogram": [0, 1]})
    assert list(ldm.conditions) == ["composition", "band_gap", "hardness", "family"]
    assert ldm.calculate_loss(many)["loss"].isfinite()
    request = CrystalBatch.from_formulas(["NaCl"], hardness=[12.0], family=["other"])
    result = ldm.sample(request, 2, sampling_steps=2, cfg_scale={"hardness": 3.0})
    assert [s.composition.reduced_formula for s in result.to_structures()] == ["NaCl"] * 2
    many.conditions.pop("hv")
    with pytest.raises(DataError, match="no label 'hv'"):
        ldm.set_data(many, {})


def test_sizes_that_do_not_fit_are_named(tiny_ldm: LDMModule) -> None:
    learned = copy.deepcopy(tiny_ldm.config)
    learned["diffusion"]["variance"] = "learned"
    with pytest.raises(ConfigError, match=r"Set ldm_module\.denoiser\.output_dim=16"):
        instantiate(learned)
    learned["denoiser"]["output_dim"] = 16
    ldm = instantiate(learned)
    batch = CrystalBatch.from_formulas(["NaCl"])
    ldm.data_info = {"num_atoms_histogram": [0, 0, 1]}
    assert len(ldm.eval().sample(batch, 2, sampler="ddpm", sampling_steps=3)) == 2


def test_a_calibration_changes_what_lies_beyond_its_first_target() -> None:
    """Requests are calibrated, labels of training crystals are not."""
    plain, gap = (built(ScalarCondition(calibration=c), "gap") for c in (None, PAIRS))
    values = torch.tensor([0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, torch.nan])
    for condition in (plain, gap):
        condition.set_data(torch.linspace(0, 5, 50))
        assert torch.equal(condition.encode(values)[:-1, 0], values[:-1])
    given = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 5.0]
    assert gap.calibrated(gap.encode(values))[:-1, 0].tolist() == pytest.approx(given)
    assert bool(gap.calibrated(gap.encode(values))[-1].isnan())
    assert torch.equal(plain.calibrated(values[:-1, None]), values[:-1, None])
    assert "calibration" not in plain.state_dict()
    with pytest.raises(RequestError, match="0 to 5"):
        gap.encode(torch.tensor([5.5]))


@pytest.mark.parametrize("pairs", [[[1.0]], [[1.0, 2.0], [1.0, 3.0]], [[1.0, float("nan")]]])
def test_a_calibration_rises(pairs: list[list[float]]) -> None:
    with pytest.raises(ConfigError, match="both rising"):
        ScalarCondition(calibration=pairs)


def test_a_calibrated_model_is_the_old_one_up_to_the_first_target(
    known_batch: CrystalBatch, tmp_path: Path
) -> None:
    plain = make_tiny_ldm(known_batch, composition_model=True)
    own = {**plain.config["conditions"]["band_gap"], "calibration": PAIRS}
    config = {**plain.config, "conditions": {**plain.config["conditions"], "band_gap": own}}
    ldm = instantiate(config)
    ldm.config, ldm.data_info = config, plain.data_info
    missing, unexpected = ldm.load_state_dict(plain.state_dict(), strict=False)
    assert {name.split(".")[-1] for name in missing} == {"calibration"} and not unexpected
    assert ldm.model_hash != plain.model_hash
    save_safetensors(ldm.eval(), tmp_path / "model.safetensors", half=False)
    again = LDMModule.load_from_checkpoint(tmp_path / "model.safetensors")

    def make(model: LDMModule, target: object) -> CrystalBatch:
        request = CrystalBatch.from_num_atoms([6] * 10, band_gap=[target] * 10)
        options = {"sampling_steps": 1, "filters": [], "cfg_scale": 4.0}
        return model.sample(request, **options).crystals

    # Target, what the plain model makes the same crystals of, and what it makes others of.
    for target, same, other in (
        (None, None, 1.0), (0.8, 0.8, 0.9), ((0.6, 1.0), (0.6, 1.0), 1.0), (2.0, 3.0, 2.0),
    ):  # fmt: skip
        crystals, expected = make(ldm, target), make(plain, same)
        for name in ("atomic_numbers", "lattices", "frac_coords"):
            assert torch.equal(getattr(crystals, name), getattr(expected, name))
            assert torch.equal(getattr(crystals, name), getattr(make(again, target), name))
        assert not torch.equal(crystals.lattices, make(plain, other).lattices)
    encoded = [m.network.encode(known_batch, labels=True)["band_gap"] for m in (plain, ldm)]
    assert torch.equal(encoded[0].nan_to_num(-1), encoded[1].nan_to_num(-1))
