from __future__ import annotations

import re
from typing import Any

import nbformat
import pytest

from crystal_ldm.errors import RequestError
from crystal_ldm.sampling import MinDistance, Noise, Prototype, SamplingSettings, options
from crystal_ldm.workflow.declared_parameters import sampling_keywords, sampling_parameters
from crystal_ldm.workflow.notebooks import find_notebook


def settings(**namespace: Any) -> SamplingSettings:
    return SamplingSettings.make(sampling_keywords(namespace))


def test_text_of_a_command_line_becomes_settings() -> None:
    made = settings(
        preset="predict", sampling_steps="7", cfg_scale="{'band_gap': 3}", cfg_interval="[0, 0.5]",
        trajectory="true", elements_temperature="0.5", batch_size="64", precision="float32",
    )  # fmt: skip
    assert made.preset == "predict" and made.solver.steps == 7 and made.solver.temperature == 0.0
    assert made.guidance.scale == {"band_gap": 3.0} and made.guidance.interval == (0.0, 0.5)
    assert made.trajectory and made.elements.temperature == 0.5 and made.compute.batch_size == 64


def test_what_is_not_given_is_the_presets() -> None:
    for preset in ("explore", "predict", "discover"):
        given = {"preset": preset, "sampling_steps": None, "start": "", "formula": "NaCl"}
        assert settings(**given) == SamplingSettings.make({"preset": preset})


def test_parts_change_the_group_of_the_preset() -> None:
    start = settings(preset="predict", start_prototype_strength=0.5).start
    assert start == Prototype(strength=0.5, share=1.0, count=None, order="likeliest")
    assert settings(preset="predict", start_noise=True).start == Noise()
    assert settings(filters_min_distance_limit=1).filters == (MinDistance(limit=1.0),)
    names = [one.kind for one in settings(filters_not_in_training=True).filters]
    assert names == ["min_distance", "not_in_training"]
    names = [one.kind for one in settings(preset="discover", filters_not_in_training=False).filters]
    assert names == ["min_distance", "usual_distances"]
    assert settings(filters="{band_gap_within: 0.3}").filters[-1].tolerance == 0.3


@pytest.mark.parametrize(
    ("namespace", "told"),
    [
        ({"sampling_steps": "many"}, "sampling_steps should be a number"),
        ({"sampler": float("inf")}, "-r sampler TEXT"),
        ({"preset": "predikt"}, "Did you mean 'predict'"),
        ({"filters": "min_distance", "filters_min_distance_limit": 1}, "Give filters or filters_"),
        ({"start_noise": True, "start_prototype_share": 0.5}, "one start"),
        ({"start_noise": False}, "one start, and none are given"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(namespace: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestError, match=told):
        settings(**namespace)


def test_names_are_variables_and_none_is_used_by_the_notebook_for_something_else() -> None:
    names = {parameter.name for parameter in sampling_parameters()}
    assert len(names) == len(list(options())) and all(name.isidentifier() for name in names)
    _, _, *cells = nbformat.read(find_notebook("04_sample"), as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    assigned = set(re.findall(r"^\s*(\w+) = ", code, re.MULTILINE))
    assert not assigned & names
