"""The form of a model: what it asks for, and how a request fills it again."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from crystal_ldm.widgets import RequestForm
from crystal_ldm.widgets.controls.training_cells import training_cells
from crystal_ldm.widgets.export.code import python_code, shell_line
from crystal_ldm.widgets.export.request import arguments_of, settings_of
from pymatgen.core import Lattice, Structure

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.training_crystals import TrainingCrystals
from crystal_ldm.runs.generate import make_request
from crystal_ldm.sampling import MinDistance, Prototype, SamplingSettings, keyword_call
from crystal_ldm.sampling.cell_sizes import settle_units
from crystal_ldm.workflow import parameters as given
from crystal_ldm.workflow import sampling_keywords

REQUESTS: list[dict[str, Any]] = [
    {"formula": "SrTiO3"},
    {"formula": "SrTiO3", "formula_units": 2, "conditions": {"band_gap": 2.3}},
    {"formula": ["NaCl", "ZnS"], "conditions": {"band_gap": (1.1, 2.2)}},
    {"formula": "Sr?O3", "allowed": ["Ti", "Fe"]},
    {"formula": "S2?2", "required": ["Zn"], "forbidden": ["Na", "Cl"]},
    {"num_atoms": 4, "conditions": {"band_gap": 0.7}},
    {"num_atoms": 6, "required": ["O"]},
]


@pytest.fixture
def form(tiny_ldm: Any) -> RequestForm:
    return RequestForm(tiny_ldm)


@pytest.mark.parametrize("asked", REQUESTS)
def test_a_request_fills_the_form_which_makes_it_again(
    form: RequestForm, asked: dict[str, Any]
) -> None:
    request = make_request(**asked).to_request()
    scales = {"composition": 1.0, "band_gap": 3.0}
    settings = SamplingSettings.make(
        {"sampler": "dpm_solver++", "sampling_steps": 7, "cfg_scale": scales, "seed": 11}
    )
    assert form.fill(request, settings, 5) == ""
    assert form.problem == ""
    assert form.request().to_request() == request
    assert form.settings() == settings
    assert form.num_samples == 5


def test_a_recipe_of_one_crystal_is_that_crystal(form: RequestForm, tiny_ldm: Any) -> None:
    request = make_request(["NaCl", "ZnS"])
    recipe = tiny_ldm.sample(request, 4, seed=3, sampling_steps=2).recipe
    assert form.fill_recipe(recipe) == "" and form.place is None
    assert form.fill_recipe({**recipe, "row": 1, "number": 2}) == ""
    assert form.place == (1, 2) and form.num_samples == 4
    form.formula.text = "NaCl"
    assert form.place is None, "another request has other crystals"


def test_a_recipe_of_format_1_fills_the_form(form: RequestForm, tiny_ldm: Any) -> None:
    recipe = tiny_ldm.sample(make_request("NaCl"), 2, sampling_steps=2).recipe
    sampling = {"num_samples": 2, "seed": 4, "template_strength": 0.3, "temperature": 0.5}
    form.sampling.preset = "discover"
    assert form.fill_recipe({**recipe, "format": 1, "sampling": sampling}) == ""
    settings = form.settings()
    assert (settings.seed, settings.solver.temperature) == (4, 0.5)
    assert settings.start == Prototype(0.3)
    assert settings.filters == (), "format 1 had no filter before it had min_distance"
    both = {**sampling, "min_distance": 0.7}
    form.fill_recipe({**recipe, "format": 1, "sampling": both})
    assert form.settings().filters == (MinDistance(0.7),)


def test_the_most_frequent_group_of_a_formula_is_named_first(tiny_ldm: LDMModule) -> None:
    ldm = copy.deepcopy(tiny_ldm)
    ldm.training_crystals = TrainingCrystals()
    small = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0] * 3, [0.5] * 3])
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3]
    )
    crystals = [small, small * (1, 1, 2), salt.get_primitive_structure()]
    ldm.training_crystals.add(CrystalBatch.from_structures(crystals, canonical=False))
    cells = training_cells(ldm, "NaCl")
    assert cells is not None and cells.groups == ("Pm-3m", "Fm-3m") and cells.sizes == (2, 4)
    assert cells.kinds == (("Fm-3m", 2, 1), ("Pm-3m", 2, 1), ("Pm-3m", 4, 2))


def test_what_the_training_set_has_of_a_formula_is_said(
    form: RequestForm, until: Callable[..., None]
) -> None:
    form.formula.text = "SrTiO3"
    until(lambda: form.formula.cells.children)
    assert form.formula.known.text == "In the training set: Pm-3m; cells of 5 atoms."
    (press,) = form.formula.cells.children
    assert press.description == "5 atoms", "this model takes no space group"
    heard: list[str] = []
    form.formula.on_group(heard.append)
    form.formula.formula_units = 3
    (press,) = form.formula.cells.children
    assert press.description == "Pm-3m, 5 atoms"
    press.click()
    assert (form.formula.formula_units, heard) == (1, ["Pm-3m"])
    form.formula.text = "SrZnO3"
    until(lambda: "no crystal of this formula" in form.formula.known.text)
    assert not form.formula.cells.children
    form.formula.text = "Sr?O3"
    assert form.formula.known.text == ""


def test_formula_units_that_nobody_gave_are_the_presets(
    form: RequestForm, tiny_ldm: Any, until: Callable[..., None]
) -> None:
    form.formula.text = "SrTiO3"
    assert form.formula.formula_units == 0 and form.request().units() == ["not given"]
    assert form.formula.counts == [1, 1, 3], "one formula unit, whose groups can be asked for"
    until(lambda: form.formula.training is not None)
    form.sampling.preset = "predict"
    assert "It takes 1 formula unit (5 atoms)" in form.formula.known.text
    assert form.formula.counts == [], "cells of several sizes"
    form.formula.formula_units = 2
    assert "It takes" not in form.formula.known.text and form.formula.counts == [2, 2, 6]
    assert form.request().units() == [None]
    for units, said, shown in (
        (1, "formula_units=1", 1),
        ({1: 0.5, 2: 0.5}, "formula_units={1: 0.5, 2: 0.5}", 0),
    ):
        how = {"preset": "predict", "sampling_steps": 1}
        recipe = tiny_ldm.sample(make_request("SrTiO3", units), 1, **how).recipe
        assert said in python_code(recipe)
        assert form.fill_recipe(recipe) == "" and form.formula.formula_units == shown
    assert "cannot show" in form.fill(recipe["request"], SamplingSettings())


def test_what_formula_units_of_0_are_is_said(form: RequestForm) -> None:
    def said() -> str:
        return " ".join(
            w.value for w in form.formula.units_row.children[0].children if hasattr(w, "value")
        )

    for preset, words in (("explore", "0: one"), ("predict", "0: likely ones in turn")):
        form.sampling.preset = preset
        assert words in said()


def test_rows_that_differ_are_said_not_to_be_shown(form: RequestForm) -> None:
    request = make_request(["NaCl", "ZnS"], conditions={"band_gap": [1.0, 2.0]}).to_request()
    assert "rows of that request differ" in form.fill(request)
    assert form.conditions.values == {"band_gap": 1.0}


def test_de_novo(form: RequestForm) -> None:
    form.fill(make_request("SrTiO3").to_request())
    assert form.fill(None) == ""
    assert form.request() is None
    assert form.sampling.scales.active == []


def test_the_table_is_locked_while_no_atom_is_open(form: RequestForm) -> None:
    assert form.table.locked == ""
    form.formula.text = "SrTiO3"
    assert "Write ?" in form.table.locked
    form.table.set_rules(["Na"])
    assert form.request().rules()[0].required == ()
    form.formula.text = "Sr?O3"
    assert form.table.locked == ""
    assert form.request().rules()[0].required == ("Na",)


def test_required_elements_without_room_are_said_while_typing(form: RequestForm) -> None:
    form.formula.text = "Sr?O3"
    form.table.set_rules(["O", "Ti"])
    assert form.problem == "", "O is in the formula"
    form.table.set_rules(["Na", "Ti"])
    assert form.problem == "Na, Ti are required, and there is room for 1 open atom."
    form.table.set_rules()
    assert form.problem == ""
    form.table.forbid_others()
    assert "Every element is forbidden" in form.problem
    form.formula.text = "SrTiO3"
    assert form.problem == "", "no atom is open"


def test_guidance_is_enabled_for_what_is_asked(form: RequestForm) -> None:
    form.formula.text = "NaCl"
    assert form.sampling.scales.active == ["composition"]
    form.conditions.values = {"band_gap": 1.0}
    assert form.sampling.scales.active == ["composition", "band_gap"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("Nacl", "Nacl"), ("UO2", "U is not among"), ("Na20Cl", "more than the 20")],
)
def test_what_cannot_be_made_is_a_problem(form: RequestForm, text: str, reason: str) -> None:
    form.formula.text = text
    assert reason in form.problem
    with pytest.raises(RequestError, match=reason):
        form.request()


def test_a_target_needs_a_size(form: RequestForm) -> None:
    form.conditions.values = {"band_gap": 1.0}
    assert "number of atoms" in form.problem and form.notice.text == form.problem
    form.formula.num_atoms = 4
    assert form.problem == "" and form.notice.text == ""


@pytest.fixture(scope="module")
def custom_ldm(known_crystals: Any) -> Any:
    """A small model with conditions of its own, as a user adds them in YAML."""
    from crystal_ldm.config import instantiate
    from crystal_ldm.crystals import CrystalBatch

    size = {"hidden_size": 16, "depth": 1, "num_heads": 2}
    parts = {name: {"_target_": name.title(), **size} for name in ("encoder", "decoder")}
    ldm = instantiate(
        {
            "_target_": "LDMModule",
            "vae": {"_target_": "VAEModule", **parts},
            "denoiser": {"_target_": "DiT", **size},
            "diffusion": {"_target_": "GaussianDiffusion"},
            "conditions": {
                "composition": {"_target_": "Composition"},
                "bulk_modulus": {"_target_": "ScalarCondition", "label": "k_vrh", "unit": "GPa"},
                "system": {"_target_": "CategoryCondition", "options": ["cubic", "other"]},
                "contains": {"_target_": "ElementSetCondition"},
            },
        }
    )
    labels = {
        "k_vrh": [170.0, 24.0, 77.0, 98.0, 180.0, 210.0, 110.0, 150.0],
        "system": ["cubic"] * 5 + ["other"] * 3,
        "contains": [sorted({site.specie.symbol for site in s}) for s in known_crystals],
    }
    batch = CrystalBatch.from_structures(known_crystals * 3, {n: v * 3 for n, v in labels.items()})
    elements = sorted({symbol for symbols in labels["contains"] for symbol in symbols})
    info = {"elements": elements, "num_atoms_histogram": batch.num_atoms.bincount().tolist()}
    ldm.vae.set_data(batch, info)
    ldm.set_data(batch, info)
    return ldm.eval()


def test_conditions_of_a_users_model_get_controls_and_reach_the_model(custom_ldm: Any) -> None:
    form = RequestForm(custom_ldm)
    controls = form.conditions.controls
    assert list(controls) == ["bulk_modulus", "system", "contains"]
    assert list(form.sampling.scales.scales) == ["composition", *controls]
    form.formula.text = "SrTiO3"
    controls["bulk_modulus"].mode.value = "value"
    controls["bulk_modulus"].low.value = "150"
    controls["system"].menu.value = "cubic"
    controls["contains"].box.value = "Sr, U"
    assert form.problem.startswith("The model does not know U.")
    controls["contains"].box.value = "Sr, O"
    form.sampling.scales.numbers["system"].value = "3"
    assert form.problem == "" and len(form.sampling.scales.active) == 4
    asked = form.request().to_request()["conditions"]
    assert asked["bulk_modulus"] == [150.0] and asked["system"] == ["cubic"]
    form.sampling.field("sampling_steps").value = 1
    result = custom_ldm.sample(form.request(), 1, **keyword_call(form.settings()))
    assert result.recipe["sampling"]["guidance"]["scale"]["system"] == 3.0
    assert result.to_structures()[0].composition.reduced_formula == "SrTiO3"
    again = RequestForm(custom_ldm)
    assert again.fill(form.request().to_request()) == ""
    assert again.conditions.values == form.conditions.values


# -- code ----------------------------------------------------------------------------------------


def shell_values(line: str) -> dict[str, str]:
    import shlex

    words = shlex.split(line)
    assert words[:3] == ["crystal-ldm", "run", "04_sample"]
    names = [word.removeprefix("--").replace("-", "_") for word in words[3::2]]
    return dict(zip(names, words[4::2], strict=True))


@pytest.mark.parametrize("asked", [*REQUESTS, None])
def test_code_and_shell_give_exactly_the_request(
    tiny_ldm: Any, asked: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = None if asked is None else make_request(**asked)
    result = tiny_ldm.sample(
        request,
        2,
        seed=3,
        sampling_steps=2,
        cfg_scale={"band_gap": 1.5},
        cfg_interval=(0.1, 0.9),
        filters=[MinDistance(0.3)],
    )
    monkeypatch.setattr("crystal_ldm.load_model", lambda name: tiny_ldm)
    names: dict[str, Any] = {}
    exec(python_code(result.recipe), names)  # noqa: S102 - it is our own text
    assert (names["result"].crystals.frac_coords == result.crystals.frac_coords).all()

    values = shell_values(shell_line(result.recipe))
    targets = {"band_gap": given.as_value(values.get("band_gap"), "band_gap")}
    again = make_request(
        given.as_words(values["formula"], "formula"),
        given.as_value(values.get("formula_units"), "formula_units"),
        given.as_value(values.get("num_atoms"), "num_atoms"),
        {n: tuple(v) if isinstance(v, list) else v for n, v in targets.items()},
        *(given.as_words(values.get(n), n) for n in ("required", "allowed", "forbidden")),
    )
    again, _ = settle_units(tiny_ldm, again, "explore")  # S2?2 is two formula units of S?
    assert (again and again.to_request()) == result.recipe["request"]
    assert given.as_integer(values["num_samples"], "num_samples") == 2
    assert SamplingSettings.make(sampling_keywords(values)) == settings_of(result.recipe)[1]


def test_what_has_no_shell_line_says_so(tiny_ldm: Any) -> None:
    rows = make_request(["NaCl", "ZnS"], conditions={"band_gap": [1.0, 2.0]})
    recipe = tiny_ldm.sample(rows, 1, sampling_steps=1).recipe
    assert "use the Python call" in shell_line(recipe)
    assert "CrystalBatch.from_formulas" in python_code(recipe)
    shifted = {**recipe, "request": None, "sampling": {**recipe["sampling"], "offset": 4}}
    assert "use the Python call" in shell_line(shifted)
    assert "offset=4" in python_code(shifted)


def test_different_rules_in_each_row_are_given_as_data(form: RequestForm) -> None:
    request = make_request(["Na?", "Zn?"], allowed=["S"]).to_request()
    request["element_rules"][1]["allowed"] = ["O"]
    assert arguments_of(request) is None
    assert "different rules" in form.fill(json.loads(json.dumps(request)))


def test_old_form_is_carried_over_to_another_model(
    tiny_ldm: Any, known_batch: Any, until: Callable[..., None]
) -> None:
    from crystal_ldm.widgets import GeneratePanel

    from tests.conftest import make_tiny_ldm

    panel = GeneratePanel(tiny_ldm)
    panel.form.formula.text = "SrTiO3"
    panel.form.conditions.values = {"band_gap": 1.0}
    panel.form.num_samples = 3
    panel.ldm = make_tiny_ldm(known_batch, seed=1)
    assert panel.form.formula.text == "SrTiO3" and panel.form.num_samples == 3
    assert panel.form.conditions.values == {"band_gap": 1.0}
    panel.picker.load("no such model")
    until(lambda: not panel.picker.job.busy)
    assert panel.picker.notice.level == "error" and "no such model" in panel.picker.notice.text
