"""What a person asks for: formula, elements, numbers, guidance, seed."""

from __future__ import annotations

from typing import Any

import pytest
from crystal_ldm.widgets import (
    AdvancedControls,
    FormulaBox,
    GuidanceControls,
    PeriodicTable,
    ScalarControl,
    SeedControl,
)
from crystal_ldm.widgets.controls.choice import CategoryControl, ElementSetControl
from crystal_ldm.widgets.controls.conditions import ConditionControls
from crystal_ldm.widgets.controls.periodic_table import element_cells
from crystal_ldm.widgets.controls.scalar import histogram_svg

from crystal_ldm.errors import RequestError

ELEMENTS = ["O", "F", "Ti", "Fe", "Sr", "Ba"]
GAP: dict[str, Any] = {
    "name": "band_gap",
    "kind": "scalar",
    "label": "Band gap (PBE)",
    "unit": "eV",
    "min": 0.0,
    "max": 8.0,
    "histogram": {"edges": [0, 2, 4, 6, 8], "counts": [500, 300, 100, 3]},
}


class TestFormulaBox:
    def test_says_what_was_understood(self) -> None:
        box = FormulaBox("SrTiO3", elements=ELEMENTS)
        assert box.problem == "" and box.open_atoms == 0
        assert box.notice.level == "good"
        assert "Sr 1, Ti 1, O 3. 5 atoms in the cell" in box.notice.text

    def test_open_atoms_are_counted_in_the_cell(self) -> None:
        box = FormulaBox("Sr?O3", elements=ELEMENTS)
        box.formula_units = 2
        assert box.open_atoms == 2 and "10 atoms" in box.notice.text

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("SrXeO3", "Xe is not among the 6 elements"),
            ("SrTiO", ""),
            ("srtio3", "capital letter"),
            ("Sr(TiO3", "not closed"),
            ("Sr7Ti7O7", "21 atoms in the cell are more than the 20"),
            ("Qx2", "Qx"),
        ],
    )
    def test_mistakes_are_named_in_one_sentence(self, text: str, says: str) -> None:
        box = FormulaBox(text, elements=ELEMENTS)
        assert says in box.problem
        assert bool(box.problem) == bool(says)
        if says:
            assert box.notice.level == "error" and box.open_atoms == 0

    def test_typed_text_is_escaped(self) -> None:
        box = FormulaBox("<script>alert(1)</script>", elements=ELEMENTS)
        assert box.problem and "<script>" not in box.notice.widget.value

    def test_without_a_formula_the_number_of_atoms_counts(self) -> None:
        box = FormulaBox("", elements=ELEMENTS, typical_atoms="2 to 20")
        assert "2 to 20" in box.notice.text and box.open_atoms == 20
        box._atoms.value = 7
        assert box.num_atoms == 7 and box.open_atoms == 7
        assert box._units_row.layout.display == "none"
        box.text = "SrO"
        assert box._units_row.layout.display is None and box._atoms_row.layout.display == "none"


class TestPeriodicTable:
    def test_all_elements_have_their_own_place(self) -> None:
        places = [(cell["row"], cell["column"]) for cell in element_cells()]
        assert len(set(places)) == 118
        assert max(column for _, column in places) == 18

    def test_marks_and_traits_follow_each_other(self) -> None:
        table = PeriodicTable(ELEMENTS)
        table._grid.marks = {"Sr": "required", "F": "forbidden"}
        assert (table.required, table.forbidden) == (["Sr"], ["F"])
        table.required = []
        assert table._grid.marks == {"F": "forbidden"}
        table.allow_all()
        assert table._grid.marks == {} and table.rules() == {}

    def test_elements_outside_the_vocabulary_say_why(self) -> None:
        table = PeriodicTable(ELEMENTS)
        assert "Xe" in table._grid.disabled and "Sr" not in table._grid.disabled
        with pytest.raises(RequestError, match="'Xe' is not an element this model knows"):
            table.required = ["Xe"]
        table._grid._handle_custom_msg({"refused": "the model was not trained on it."}, [])
        assert table.notice.text == "the model was not trained on it."

    def test_many_forbidden_elements_are_said_as_few_allowed_ones(self) -> None:
        table = PeriodicTable(ELEMENTS)
        table.required = ["O"]
        table.forbid_others()
        assert table.rules() == {"required": ["O"], "allowed": ["O"]}
        table.set_rules(allowed=["O", "Ti"])
        assert table.rules() == {"allowed": ["O", "Ti"]}

    def test_another_model_drops_what_it_does_not_know(self) -> None:
        table = PeriodicTable(ELEMENTS)
        table.required, table.forbidden = ["Sr"], ["Ba", "F"]
        table.elements = ["O", "F"]
        assert (table.required, table.forbidden) == ([], ["F"])


class TestScalarControl:
    def test_value_and_range_from_widgets(self) -> None:
        control = ScalarControl(GAP)
        assert control.value is None and control._details.layout.display == "none"
        control._mode.value = "value"
        assert control.value == 2.0
        control._slider.value = 3.5
        assert control.value == 3.5 and control._low.value == 3.5
        control._mode.value = "range"
        assert control.value == (3.0, 4.0)
        control._high.value = 5.0
        assert control.value == (3.0, 5.0) and control._range.value == (3.0, 5.0)
        control._mode.value = "any"
        assert control.value is None

    def test_a_set_value_is_kept_exactly(self) -> None:
        control = ScalarControl(GAP, 2.345678)
        assert control.value == 2.345678
        control.value = [1, 2.5]
        assert control.value == (1.0, 2.5) and control._mode.value == "range"

    @pytest.mark.parametrize(
        ("value", "says"),
        [(9.5, "0 to 8 eV"), (-1.0, "0 to 8 eV"), (7.0, "Only 3 training crystals"), (1.0, "")],
    )
    def test_warnings(self, value: float, says: str) -> None:
        control = ScalarControl(GAP, value)
        assert says in control.notice.text and bool(says) == bool(control.notice.text)
        assert control.problem == ""

    def test_a_range_backwards_is_a_problem(self) -> None:
        control = ScalarControl(GAP, (3.0, 1.0))
        assert "from 3 down to 1" in control.problem

    def test_nonsense_is_refused(self) -> None:
        control = ScalarControl(GAP)
        for wrong in ("wide", (1, 2, 3), {}):
            with pytest.raises(RequestError, match="takes a number, a pair"):
                control.value = wrong

    def test_the_histogram_marks_the_target(self) -> None:
        edges, counts = GAP["histogram"]["edges"], GAP["histogram"]["counts"]
        picture = histogram_svg(edges, counts, (2.0, 4.0), (0.0, 8.0))
        assert picture.count("<rect") == 5
        assert 'class="cl-target" x="24.60" y="0" width="25.00"' in picture


class Described:
    """A condition as a model gives it."""

    def __init__(self, about: dict[str, Any]) -> None:
        self.about = about

    def describe(self) -> dict[str, Any]:
        return self.about


def test_custom_conditions_get_their_control_from_the_description() -> None:
    controls = ConditionControls(
        {
            "composition": Described({"name": "composition", "kind": "composition"}),
            "band_gap": Described(GAP),
            "system": Described(
                {
                    "name": "system",
                    "kind": "category",
                    "label": "System",
                    "options": ["cubic", "hexagonal"],
                }
            ),
            "chemistry": Described(
                {
                    "name": "chemistry",
                    "kind": "element_set",
                    "label": "Elements",
                    "options": ELEMENTS,
                }
            ),
        },
        {"band_gap": 2.0},
    )
    kinds = [type(control) for control in controls.controls.values()]
    assert kinds == [ScalarControl, CategoryControl, ElementSetControl]
    controls.controls["system"]._menu.value = "cubic"
    controls.controls["chemistry"]._box.value = "Sr, O"
    assert controls.values == {"band_gap": 2.0, "system": "cubic", "chemistry": "Sr, O"}
    controls.controls["chemistry"]._box.value = "Sr, Xx"
    assert "does not know Xx" in controls.problem
    controls.values = {}
    assert all(control.value is None for control in controls.controls.values())
    with pytest.raises(RequestError, match=r"no condition 'bandgap'.*Did you mean 'band_gap'"):
        controls.values = {"bandgap": 1.0}


def test_guidance_scales() -> None:
    guidance = GuidanceControls({"composition": "Composition", "band_gap": "Band gap"})
    assert guidance.value() == 2.0
    guidance._sliders["band_gap"].value = 3.5
    assert guidance.value() == {"composition": 2.0, "band_gap": 3.5}
    guidance.set_value({"composition": 1.0})
    assert guidance.scales == {"composition": 1.0, "band_gap": 3.5}
    guidance.set_value(7.5)
    assert guidance._sliders["composition"].value == 7.5
    guidance.active = ["composition"]
    assert guidance._sliders["band_gap"].disabled
    assert guidance._why["band_gap"].layout.display is None
    with pytest.raises(RequestError, match="0 to 10"):
        guidance.set_value(-1)


def test_advanced_options_go_around() -> None:
    first, second = AdvancedControls(), AdvancedControls()
    first.sampler, first.cfg_interval, first.sampling_steps = "ddpm", (0.1, 0.8), 7
    second.set_values(first.values())
    assert second.values() == first.values()
    assert second.eta == 0.0


def test_seed_is_renewed_or_reused() -> None:
    control = SeedControl(seed=5)
    assert control.use() == 5 and control.last == 5
    assert control.seed != 5
    control._reuse.click()
    assert control.seed == 5 and control.fresh is False
    assert control.use() == 5 and control.seed == 5
