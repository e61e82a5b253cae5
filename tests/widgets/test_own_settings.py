"""A filter and a start of one's own, defined in this file and named in no other: form, notebook,
command line, recipe and shown code have them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from crystal_ldm.widgets import GeneratePanel, SamplingControls
from crystal_ldm.widgets.export.code import python_code, shell_line

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.runs.generate import make_request
from crystal_ldm.sampling import Filter, SamplingSettings, Start, option
from crystal_ldm.sampling.starts.base import Origin
from crystal_ldm.workflow.declared_parameters import sampling_keywords

HELP = "Cells of another volume per atom are made again"


class VolumeBelow(Filter):
    """The cell is not too large for its atoms."""

    limit: float = option(500.0, HELP, unit="Å³", low=1, high=10_000)

    def passes(self, ldm: Any, crystals: CrystalBatch) -> torch.Tensor:
        volumes = torch.linalg.det(crystals.lattices).abs() / crystals.num_atoms
        return volumes <= self.limit


class QuietNoise(Start):
    """From noise, and nobody is told."""

    loudness: float = option(0.25, "How loud it is not", low=0, high=1)

    def origin(self, *_: Any) -> Origin:
        return Origin()


OWN = {"filters": [VolumeBelow(400.0)], "start": QuietNoise(0.5)}


def test_the_form_has_them_with_unit_and_help() -> None:
    controls = SamplingControls()
    limit = controls.field("filters.volume_below.limit")
    assert (limit.option.unit, limit.option.help) == ("Å³", HELP)
    controls.show(SamplingSettings.make(OWN))
    assert limit.value == 400.0 and controls.field("filters.volume_below").value
    assert controls.field("start").value == "quiet_noise"
    assert controls.settings == SamplingSettings.make(OWN)
    limit.value = 0.0
    assert "limit must be a number from 1 to 10000" in controls.problem


def test_the_notebook_permits_them_as_parameters() -> None:
    given = {"filters_volume_below_limit": 400.0, "start_quiet_noise_loudness": "0.5"}
    settings = SamplingSettings.make(sampling_keywords(given))
    assert settings.start == QuietNoise(0.5) and VolumeBelow(400.0) in settings.filters


def test_the_command_line_has_them_in_its_help() -> None:
    from click.testing import CliRunner

    from crystal_ldm.workflow.command_line import main

    shown = CliRunner().invoke(main, ["run", "04_sample", "--help"], terminal_width=300)
    assert "--filters-volume-below-limit" in shown.output and HELP in shown.output
    assert "--start-quiet-noise-loudness" in shown.output


def test_panel_recipe_and_code_have_them(tiny_ldm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    request, settings = make_request("NaCl"), {"sampling_steps": 2, **OWN}
    panel = GeneratePanel(tiny_ldm)
    panel.show_request(request=request, keywords=settings)
    panel.form.num_samples = 2
    results: list[Any] = []
    panel.on_result(results.append)
    panel.generate()
    assert panel.job.wait(60) and panel.job.state == "done", panel.job.error
    recipe = results[0].recipe
    assert recipe["sampling"]["filters"] == [{"name": "volume_below", "limit": 400.0}]
    assert recipe["sampling"]["start"] == {"name": "quiet_noise", "loudness": 0.5}
    assert "volume_below" in shell_line(recipe)
    code = python_code(recipe)
    assert f"from {__name__} import VolumeBelow" in code and "QuietNoise(loudness=0.5)" in code
    monkeypatch.setattr("crystal_ldm.load_model", lambda name: tiny_ldm)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - it is our own text
    made = torch.cat([result.crystals.frac_coords for result in results])
    assert (names["result"].crystals.frac_coords - made).abs().max() < 1e-4
    assert set(names["result"].passed) == {"volume_below"}
