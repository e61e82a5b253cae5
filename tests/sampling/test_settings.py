"""Presets, keywords, and the schema that everything else is derived from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from benchmarks import quality
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.recipe import from_recipe
from crystal_ldm.recipe.format_1 import settings_of_format_1
from crystal_ldm.sampling import (
    BandGapWithin,
    Crystal,
    Elements,
    Filter,
    HasSpaceGroup,
    Host,
    MinDistance,
    Noise,
    NotInTraining,
    Prototype,
    SamplingSettings,
    keyword_call,
    option,
    options,
    presets,
)
from crystal_ldm.sampling.named import Named
from crystal_ldm.workflow.declared_parameters import keywords_of


@pytest.fixture
def density_filter() -> Iterator[type[Filter]]:
    """A user's own filter, defined in this file and nowhere else."""

    class DensityAbove(Filter):
        """Only dense crystals."""

        limit: float = option(
            2.0, "Crystals of a lower density are made again", unit="g/cm³", low=0
        )

        def passes(self, ldm: LDMModule, crystals: CrystalBatch) -> Tensor:
            return torch.tensor([s.density > self.limit for s in crystals.to_structures()])

    yield DensityAbove
    del Named._kinds["filters"]["density_above"]


def test_presets_are_what_a_person_wants() -> None:
    assert list(presets()) == ["explore", "discover", "predict"]
    for name, preset in presets().items():
        settings = SamplingSettings.make({"preset": name})
        assert settings.preset == name and preset.sentence.endswith(".")
        assert MinDistance(0.5) in settings.filters
    predict, discover = (SamplingSettings.make({"preset": n}) for n in ("predict", "discover"))
    assert predict.solver.temperature == 0
    assert predict.start == Prototype(0.1, count=None, order="likeliest")
    assert NotInTraining() in discover.filters and discover.elements.max_distance_to_known == 0.5
    assert SamplingSettings.make({}).start == Noise()


def test_keywords_override_the_preset() -> None:
    settings = SamplingSettings.make(
        {"preset": "predict", "sampling_steps": 20, "cfg_scale": {"band_gap": 3}, "start": Noise()}
    )
    assert settings.solver.steps == 20 and settings.guidance.scale == {"band_gap": 3.0}
    assert settings.start == Noise() and settings.solver.temperature == 0  # the preset's
    assert SamplingSettings.make({"sampling_steps": None}).solver.steps == 5  # not given


def test_a_list_of_filters_is_all_of_them_and_a_mapping_changes_some() -> None:
    listed = SamplingSettings.make({"filters": [BandGapWithin(0.3)]})
    assert listed.filters == (BandGapWithin(0.3),)
    changed = SamplingSettings.make({"filters": {"band_gap_within": 0.3, "min_distance": 0.7}})
    assert changed.filters == (MinDistance(0.7), BandGapWithin(0.3))
    without = SamplingSettings.make({"filters": {"min_distance": None}})
    assert without.filters == () == SamplingSettings.make({"filters": []}).filters
    named = SamplingSettings.make({"filters": ["not_in_training", {"name": "min_distance"}]})
    assert named.filters == (NotInTraining(), MinDistance())


@pytest.mark.parametrize("preset", ["explore", "predict", "discover"])
def test_plain_data_and_back(preset: str) -> None:
    settings = SamplingSettings.make({"preset": preset, "cfg_interval": [0.1, 0.9]})
    assert SamplingSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert SamplingSettings.make(settings.keywords()) == settings
    assert SamplingSettings.make(keyword_call(settings)) == settings
    assert set(keyword_call(settings)) <= {"preset", "cfg_interval"}


@pytest.mark.parametrize(
    "number", [3, np.int64(3), np.float32(3), torch.tensor(3), pd.Series([3])[0], 3.0]
)
def test_numbers_of_every_library_count_as_numbers(number: Any) -> None:
    settings = SamplingSettings.make(
        {"sampling_steps": number, "temperature": number, "seed": number, "cfg_scale": number}
    )
    assert (settings.solver.steps, settings.solver.temperature, settings.seed) == (3, 3.0, 3)
    assert type(settings.solver.steps) is int and type(settings.guidance.scale) is float


def test_flags_lists_and_devices_of_every_library_count() -> None:
    settings = SamplingSettings.make(
        {"trajectory": np.True_, "compile": torch.tensor(False), "device": torch.device("cpu")}
    )
    assert settings.trajectory is True and settings.compute.compile is False
    assert settings.compute.device == "cpu"
    assert all(
        Host(keep=keep).keep == (0, 2) for keep in ([0, 2], np.array([0, 2]), range(0, 3, 2))
    )
    assert Elements(max_distance_to_known=0).about_training_set == ["max_distance_to_known"]


def test_a_class_of_ones_own_does_not_replace_one_of_the_package() -> None:
    with pytest.raises(RequestError, match="crystal_ldm has a class MinDistance among filters"):
        type("MinDistance", (Filter,), {"__module__": __name__})
    assert Filter.kinds()["min_distance"] is MinDistance


@pytest.mark.parametrize("answer", [True, None, torch.ones(3), np.ones(4, bool), "yes"])
def test_a_filter_that_gives_no_answer_is_named(
    answer: Any, tiny_ldm: LDMModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(Named._kinds, "filters", dict(Named._kinds["filters"]))

    class Undecided(Filter):
        def passes(self, ldm: LDMModule, crystals: CrystalBatch) -> Any:
            return answer

    how = {"filters": [Undecided()], "sampling_steps": 1}
    with pytest.raises(RequestError, match="undecided must answer true or false for each of 3"):
        tiny_ldm.sample(CrystalBatch.from_formulas(["NaCl"]), 3, **how)
    Undecided.passes = lambda self, ldm, crystals: [False, True, False]  # type: ignore[method-assign]
    result = tiny_ldm.sample(CrystalBatch.from_formulas(["NaCl"]), 3, attempts=0, **how)
    assert result.passed["undecided"].tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"sampling_step": 3}, "no setting 'sampling_step'. Did you mean 'sampling_steps'"),
        ({"sampling_steps": 0}, "sampling_steps must be a whole number from 1 to 10000, not 0."),
        ({"sampling_steps": True}, "sampling_steps must be a whole number"),
        ({"sampling_steps": "5"}, "sampling_steps must be a whole number"),
        ({"temperature": float("nan")}, "temperature must be a number from 0 to 10, not nan."),
        (
            {"cfg_interval": "01"},
            "cfg_interval must be a list of 2, each item a number from 0 to 1",
        ),
        ({"cfg_interval": (1, 0)}, "cfg_interval must be two numbers 0 ≤ low ≤ high ≤ 1, not (1.0"),
        ({"cfg_scale": {"band_gap": "high"}}, "cfg_scale must be a number from 0 to 100"),
        ({"filters": ["min_distanc"]}, "Did you mean 'min_distance'?"),
        (
            {"filters": [{"name": "min_distance", "limi": 3}]},
            "MinDistance: There is no field 'limi'. Did you mean 'lim",
        ),
        ({"filters": {"min_distance": 11}}, "limit must be a number from 0 to 10 Å, not 11"),
        ({"filters": 3}, "filters must be a list"),
        ({"start": "prototyp"}, "Did you mean 'prototype'?"),
        ({"start": {"prototype": {"strength": 2}}}, "strength must be a number from 0 to 1"),
        (
            {"elements": 0.5},
            "elements must be an Elements, not 0.5",
        ),
        ({"batch_size": 0}, "batch_size must be a whole number from 1 to 1000000 or 'auto'"),
        ({"precision": "float23"}, "Did you mean 'float32'?"),
        ({"preset": "predicted"}, "Did you mean 'predict'?"),
        ({"trajectory": 1}, "trajectory must be true or false, not 1."),
        ({"filters": {"min_distanc": None}}, "Did you mean 'min_distance'?"),
        ({"filters": [{"name": ["min_distance"]}]}, "There is no ['min_distance'] among filters."),
        ({"filters": [{"min_distance": {1: 2}}]}, "There is no field '1'. There are: limit."),
        ({"filters": [Filter]}, "Among filters there are BandGapWithin, HasSpaceGroup,"),
        ({"filters": np.array(2)}, "filters must be a list"),
        ({"elements": {1: 2}}, "There is no field '1'."),
        ({"seed": pd.Series([1, 2])}, "seed must be a whole number"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(keywords: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RequestError) as caught:
        SamplingSettings.make(keywords)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_every_option_says_what_it_is() -> None:
    listed = {one.path: one for one in options()}
    assert len(listed) == len(list(options()))
    for one in listed.values():
        assert one.help and len(one.help) < 100 and one.level in ("basic", "advanced")
    assert listed["filters.min_distance.limit"].unit == "Å"
    assert listed["sampling_steps"].low == 1 and listed["start.prototype.strength"].high == 1
    assert listed["elements.max_distance_to_known"].optional


def test_a_filter_of_ones_own_is_everywhere(
    density_filter: type[Filter], tiny_ldm: LDMModule
) -> None:
    path = "filters.density_above.limit"
    assert {one.path: one.unit for one in options()}[path] == "g/cm³"
    words = ["prediction", "--filters.density-above.limit", "4"]
    keywords = keywords_of(vars(quality.parse(words)))
    settings = SamplingSettings.make(keywords)
    assert settings.filters == (MinDistance(0.5), density_filter(limit=4.0))
    assert keyword_call(settings) == {"filters": settings.filters}

    request = CrystalBatch.from_formulas(["NaCl"])
    free = tiny_ldm.sample(request, 12, filters=[], sampling_steps=2)
    limit = float(np.median([s.density for s in free.to_structures()]))
    how = {"filters": [density_filter(limit=limit)], "attempts": 9, "sampling_steps": 2}
    result = tiny_ldm.sample(request, 12, **how)
    dense = torch.tensor([s.density > limit for s in result.to_structures()])
    assert torch.equal(result.passed["density_above"], dense)
    assert int(dense.sum()) > 6 and int(result.attempts.max()) > 1
    assert result.recipe["sampling"]["filters"] == [{"name": "density_above", "limit": limit}]
    again = from_recipe(json.dumps(result.recipe).encode(), ldm=tiny_ldm)
    assert torch.allclose(again.crystals.lattices, result.crystals.lattices, rtol=1e-4)


def test_arguments_of_a_quality_command() -> None:
    words = [
        "prediction",
        "--preset",
        "discover",
        "--sampling-steps",
        "9",
        "--cfg-scale",
        "{band_gap: 3}",
    ]
    words += ["--start.prototype.strength", "0.4", "--filters.not-in-training", "--cfg-interval"]
    words += ["[0.2, 1]", "--elements.new-formula", "false"]
    keywords = keywords_of(vars(quality.parse(words)))
    settings = SamplingSettings.make(keywords)
    assert settings.start == Prototype(0.4) and settings.solver.steps == 9
    assert settings.guidance.interval == (0.2, 1.0) and not settings.elements.new_formula
    assert keywords_of(vars(quality.parse(words[:1]))) == {"seed": 0}


def test_recipes_of_format_1_are_the_same_request() -> None:
    old = {
        "sampler": "ddim", "sampling_steps": 10, "cfg_scale": 1.0, "min_distance": 0.5,
        "template_strength": 0.3, "templates": 20, "new_crystals": True, "relative_distance": 0.5,
        "band_gap_tolerance": 0.2, "max_attempts": 20, "composition_temperature": 0.95,
    }  # fmt: skip
    settings = SamplingSettings.make(settings_of_format_1(old))
    assert settings.filters == (MinDistance(0.5), NotInTraining(), BandGapWithin(0.2))
    assert settings.start == Prototype(0.3, count=20) and settings.attempts == 20
    assert settings.elements == Elements(0.95, max_distance_to_known=0.5, charge_balanced=False)
    assert SamplingSettings.make(settings_of_format_1({})).filters == ()
    with pytest.raises(RequestError, match="Did you mean 'templates'"):
        settings_of_format_1({"template": 3})


def test_what_a_preset_cannot_have_is_said_and_what_was_asked_for_is_refused(
    tiny_ldm: LDMModule,
) -> None:
    whole = tiny_ldm.training_crystals
    tiny_ldm.training_crystals = type(whole)()
    request = CrystalBatch.from_formulas(["NaCl"])
    try:
        with pytest.warns(UserWarning, match="'discover' goes on without it"):
            result = tiny_ldm.sample(request, 1, preset="discover", sampling_steps=2)
        assert result.recipe["sampling"]["start"] == {"name": "noise"}
        assert list(result.passed) == ["min_distance", "usual_distances"]
        for asked in ({"start": Prototype()}, {"filters": [NotInTraining()]}):
            with pytest.raises(RequestError, match="no training crystals with it"):
                tiny_ldm.sample(request, 1, **asked)
    finally:
        tiny_ldm.training_crystals = whole


def test_crystals_to_start_from_are_in_the_recipe(
    tiny_ldm: LDMModule, known_batch: CrystalBatch
) -> None:
    near = tiny_ldm.sample(known_batch[[0]], 2, start=Crystal(0.3), sampling_steps=4, seed=3)
    again = from_recipe(json.dumps(near.recipe).encode(), ldm=tiny_ldm)
    assert torch.allclose(again.crystals.lattices, near.crystals.lattices, rtol=1e-5)
    one = from_recipe(json.dumps({**near.recipe, "row": 0, "number": 1}).encode(), ldm=tiny_ldm)
    assert torch.allclose(one.crystals.lattices[0], near.crystals.lattices[1], rtol=1e-4)
    with pytest.raises(RequestError, match="needs crystals"):
        tiny_ldm.sample(CrystalBatch.from_formulas(["NaCl"]), 1, start=Crystal(0.3))
    other = tiny_ldm.sample(known_batch[[0]], 2, start=Crystal(0.3, keep_elements=False), seed=3)
    assert len(other) == 2


def test_a_space_group_that_is_asked_for(tiny_ldm: LDMModule, known_batch: CrystalBatch) -> None:
    right = HasSpaceGroup(221).passes(tiny_ldm, known_batch)
    assert right.tolist() == [formula == "SrTiO3" for formula in known_batch.formulas]


@pytest.mark.parametrize("wrong", ["SrTiO3", 3, {"formula": "NaCl"}, [1]])
def test_a_request_is_a_batch(tiny_ldm: LDMModule, wrong: Any) -> None:
    with pytest.raises(RequestError, match="is a CrystalBatch, not"):
        tiny_ldm.sample(wrong, 1)
    with pytest.raises(RequestError, match="takes one crystal at each end"):
        tiny_ldm.interpolate(wrong, wrong)


def test_a_large_request_is_planned_as_it_is_made(tiny_ldm: LDMModule) -> None:
    """The first batch of ten million crystals comes at once."""
    request = CrystalBatch.from_formulas(["NaCl"])
    first = next(tiny_ldm.iter_sample(request, 10_000_000, sampling_steps=1, batch_size=3))
    assert first.number.tolist() == [0, 1, 2]
    with pytest.raises(RequestError, match="from 1 to 10000000"):
        tiny_ldm.iter_sample(request, 10_000_001)
