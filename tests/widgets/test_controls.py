"""What a person asks for: formula, elements, numbers, guidance, seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import traitlets as tl
from crystal_ldm.widgets import (
    FormulaBox,
    GuidanceControls,
    PeriodicTable,
    SamplingControls,
    ScalarControl,
    SeedControl,
)
from crystal_ldm.widgets.base import Notice, NumberBox
from crystal_ldm.widgets.controls.conditions import (
    CategoryControl,
    ConditionControls,
    ElementSetControl,
    SpaceGroupControl,
)
from crystal_ldm.widgets.controls.periodic_table import element_cells
from crystal_ldm.widgets.controls.scalar import histogram_svg

from crystal_ldm.errors import RequestError
from crystal_ldm.sampling import (
    BandGapWithin,
    Crystal,
    MinDistance,
    NotInTraining,
    Prototype,
    SamplingSettings,
    keyword_call,
    options,
    presets,
)

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
        field, said = box.atoms_row.children
        number = field.children[1]
        number.value = "7"
        assert box.num_atoms == 7 and box.open_atoms == 7
        number.value = "-1"
        assert (number.value, box.num_atoms) == ("7", 7), "not 0 in silence"
        assert "at least 0, not &#x27;-1&#x27;" in said.value
        number.value = "99"
        assert "at most 20 atoms" in box.problem
        assert box.units_row.layout.display == "none"
        box.text = "SrO"
        assert box.units_row.layout.display is None and box.atoms_row.layout.display == "none"


class TestPeriodicTable:
    def test_all_elements_have_their_own_place(self) -> None:
        places = [(cell["row"], cell["column"]) for cell in element_cells()]
        assert len(set(places)) == 118
        assert max(column for _, column in places) == 18

    def test_marks_and_traits_follow_each_other(self) -> None:
        table = PeriodicTable(ELEMENTS)
        table.grid.marks = {"Sr": "required", "F": "forbidden"}
        assert (table.required, table.forbidden) == (["Sr"], ["F"])
        table.set_rules(forbidden=["F"])
        assert table.grid.marks == {"F": "forbidden"}
        table.set_rules()
        assert table.grid.marks == {} and table.rules() == {}

    def test_elements_outside_the_vocabulary_say_why(self) -> None:
        table = PeriodicTable(ELEMENTS)
        assert "Xe" in table.grid.disabled and "Sr" not in table.grid.disabled
        with pytest.raises(RequestError, match="'Xe' is not an element this model knows"):
            table.set_rules(required=["Xe"])
        table.grid._handle_custom_msg({"refused": "the model was not trained on it."}, [])
        assert table.notice.text == "the model was not trained on it."

    def test_many_forbidden_elements_are_said_as_few_allowed_ones(self) -> None:
        table = PeriodicTable(ELEMENTS)
        table.set_rules(required=["O"])
        table.forbid_others()
        assert table.rules() == {"required": ["O"], "allowed": ["O"]}
        table.set_rules(allowed=["O", "Ti"])
        assert table.rules() == {"allowed": ["O", "Ti"]}


class TestScalarControl:
    def test_value_and_range_from_widgets(self) -> None:
        control = ScalarControl(GAP)
        assert control.value is None and control.details.layout.display == "none"
        control.mode.value = "value"
        assert control.value == 2.0
        control.slider.value = 3.5
        assert control.value == 3.5 and control.low.value == "3.5"
        control.mode.value = "range"
        assert control.value == (3.1, 3.9)  # a tenth of the span wide
        control.high.value = "5.0"
        assert control.value == (3.1, 5.0) and control.range.value == (3.1, 5.0)
        control.mode.value = "any"
        assert control.value is None

    def test_a_set_value_is_kept_exactly(self) -> None:
        control = ScalarControl(GAP, 2.345678)
        assert control.value == 2.345678
        control.value = [1, 2.5]
        assert control.value == (1.0, 2.5) and control.mode.value == "range"

    @pytest.mark.parametrize(
        ("value", "says", "possible"),
        [
            (9.5, "0 to 8 eV", False),
            (-1.0, "0 to 8 eV", False),
            ((1.0, 1e9), "0 to 8 eV", False),
            ((3.0, 1.0), "from 3 down to 1", False),
            (7.0, "Only 3 training crystals", True),
            (8.00005, "Only 3 training crystals", True),  # what a model takes, too
            (1.0, "", True),
        ],
    )
    def test_what_is_said_of_a_target(self, value: Any, says: str, possible: bool) -> None:
        control = ScalarControl(GAP, value)
        assert says in control.notice.text and bool(says) == bool(control.notice.text)
        assert (control.problem == "") == possible

    @pytest.mark.parametrize(
        ("value", "answer"),
        [
            ((1.0, 99.0), (1.0, 10.3)),
            ((2.1, 2.0), (2.0, 2.1)),
            (2.09, 2.0999999999999996),
            (99, 10.3),
        ],
    )
    def test_what_a_browser_makes_of_a_number_is_no_request(self, value: Any, answer: Any) -> None:
        control = ScalarControl(GAP | {"max": 10.34000015}, value)
        slider = control.range if isinstance(value, tuple) else control.slider
        slider.value = answer
        assert control.value == value
        slider.value = (0.5, answer[1]) if isinstance(value, tuple) else 5.0  # the person
        assert control.value == ((0.5, max(value)) if isinstance(value, tuple) else 5.0)

    @pytest.mark.parametrize(
        ("ends", "shown"),
        [
            ((0.0, 8.9937), "0 to 8.9937 eV"),
            ((5.3333, 12345.678), "5.3333 to 12345.7 eV"),
            ((-8.99372, -0.053337), "-8.99372 to -0.053337 eV"),
            ((1e-6, 3.00004e-5), "1e-06 to 3.00004e-05 eV"),
        ],
    )
    def test_ends_that_are_named_can_be_asked_for(self, ends: Any, shown: str) -> None:
        control = ScalarControl(GAP | {"min": ends[0], "max": ends[1]}, 2 * ends[1] + 1)
        assert f"training crystals have {shown}." in control.problem
        words = shown.split()
        for end in (float(words[0]), float(words[2])):
            control.value = end
            assert not control.problem
        control.value = ends[1] + 0.01 * (ends[1] - ends[0])
        assert "out of reach" in control.problem

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


def test_a_program_takes_back_a_text_that_cannot_be_asked_for() -> None:
    about = {"name": "space_group", "kind": "space_group"}
    controls = ConditionControls({"space_group": Described(about)}, {"space_group": 221})
    control = controls.controls["space_group"]
    assert isinstance(control, SpaceGroupControl)
    box = control.box
    for targets, text in (({"space_group": 221}, "221 Pm-3m"), ({}, "")):
        box.value = "banana"
        assert "banana" in controls.problem
        controls.show(targets)
        assert (controls.problem, box.value, controls.values) == ("", text, targets)


@pytest.mark.parametrize(
    ("typed", "number"),
    [("7", 7), (" 1e2 ", 100), ("2.5", 3), ("1e9", 3), ("many", 3), ("nan", 3), ("", 3), ("0", 3)],
)
def test_nothing_that_is_typed_is_changed_in_silence(typed: str, number: int) -> None:
    said = Notice()
    box = NumberBox("Steps", said, whole=True, low=1, high=1000)
    box.number = 3
    box.value = typed
    assert (box.number, box.value) == (number, str(number))
    wrong = f"Steps: a whole number, 1 to 1,000, not '{typed}'; 3 stays."
    assert said.text == ("" if number != 3 else wrong)
    box.value = "4"
    assert (box.number, said.text) == (4, "")


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
    controls.controls["system"].menu.value = "cubic"
    controls.controls["chemistry"].box.value = "Sr, O"
    assert controls.values == {"band_gap": 2.0, "system": "cubic", "chemistry": "Sr, O"}
    controls.controls["chemistry"].box.value = "Sr, Xx"
    assert "does not know Xx" in controls.problem
    controls.values = {}
    assert all(control.value is None for control in controls.controls.values())
    with pytest.raises(RequestError, match=r"no condition 'bandgap'.*Did you mean 'band_gap'"):
        controls.values = {"bandgap": 1.0}


def test_guidance_scales() -> None:
    guidance = GuidanceControls({"composition": "Composition", "band_gap": "Band gap"})
    assert guidance.value == 2.0
    guidance.numbers["band_gap"].value = "3.5"
    assert guidance.value == {"composition": 2.0, "band_gap": 3.5}
    guidance.value = {"composition": 1.0}
    assert guidance.scales == {"composition": 1.0, "band_gap": 3.5}
    guidance.value = 7.5
    assert guidance.numbers["composition"].value == "7.5"
    guidance.active = ["composition"]
    assert guidance.numbers["band_gap"].layout.display == "none"
    assert guidance.reasons["band_gap"].layout.display is None


class TestSamplingControls:
    def test_every_field_of_the_schema_has_a_control(self) -> None:
        controls = SamplingControls()
        elsewhere = ("preset", "seed", "trajectory")
        for option in options():
            from_crystals = option.path.startswith(("start.crystal", "start.host"))
            if option.path not in elsewhere and not from_crystals:
                control = controls.field(option.path)
                assert hasattr(control, "value"), option.path

    @pytest.mark.parametrize("name", list(presets()))
    def test_a_preset_sets_all_fields(self, name: str) -> None:
        controls = SamplingControls({"band_gap": "Band gap"})
        controls.preset = next(other for other in presets() if other != name)
        controls.field("sampling_steps").value = 33
        controls.preset = name
        assert controls.settings == SamplingSettings.make({"preset": name})
        controls.field("eta").value = 0.5
        assert keyword_call(controls.settings).keys() - {"preset"} == {"eta"}
        controls.reset()
        assert controls.settings == SamplingSettings.make({"preset": name})

    def test_settings_go_around(self) -> None:
        settings = SamplingSettings.make(
            {
                "preset": "discover",
                "sampler": "dpm_solver++",
                "cfg_interval": (0.1, 0.8),
                "cfg_scale": {"band_gap": 3.0, "composition": 1.0},
                "start": {"name": "prototype", "strength": 0.6, "count": None},
                "elements": {"max_distance_to_known": 0.25},
                "filters": [NotInTraining(), BandGapWithin(0.3), MinDistance(1.1)],
                "batch_size": 12,
                "attempts": 9,
            }
        )
        controls = SamplingControls({"composition": "Composition", "band_gap": "Band gap"})
        controls.show(settings)
        assert controls.settings == settings, "the order of the filters, too"
        with pytest.raises(RequestError, match="start from a crystal"):
            controls.show(SamplingSettings.make({"start": Crystal(0.2)}))

    @pytest.mark.parametrize(
        ("path", "value", "says"),
        [
            ("temperature", 99.0, "temperature must be a number from 0 to 10"),
            ("cfg_scale", 200.0, "from 0 to 100"),
            ("filters.min_distance.limit", -1.0, "limit must be a number from 0 to 10 Å"),
            ("cfg_interval", (0.9, 0.1), "cfg_interval must be two numbers"),
            ("attempts", 2.5, "attempts must be a whole number"),
            ("sampling_steps", "many", "sampling_steps must be a whole number"),
            ("attempts", 100_000, "attempts must be a whole number from 0 to 1000"),
            ("batch_size", "many", "batch_size must be a whole number"),
        ],
    )
    def test_a_wrong_value_is_said_and_not_changed(self, path: str, value: Any, says: str) -> None:
        controls = SamplingControls({"band_gap": "Band gap"})
        good = controls.field(path).value
        controls.field(path).value = value
        assert says in controls.problem and controls.settings is None
        # A field that is in no group has no line below it but that of the whole form.
        assert controls.notice.text == (controls.problem if path == "attempts" else "")
        assert controls.field(path).value == value
        controls.field(path).value = good
        assert controls.problem == controls.notice.text == ""
        assert controls.settings == SamplingSettings.make({})
        assert controls.notice.widget in controls.advanced.children[-1].children

    def test_filters_are_turned_on_in_order(self) -> None:
        controls = SamplingControls()
        controls.field("filters.band_gap_within").value = True
        controls.field("filters.band_gap_within.tolerance").value = 0.4
        assert controls.settings.filters == (MinDistance(), BandGapWithin(0.4))
        controls.field("filters.min_distance").value = False
        assert controls.settings.filters == (BandGapWithin(0.4),)
        controls.field("start").value = "prototype"
        assert controls.settings.start == Prototype()

    def test_text_is_read_as_values(self) -> None:
        controls = SamplingControls()
        controls.field("cfg_interval").box.value = "0.25, 0.75"
        controls.field("elements.max_distance_to_known").box.value = "0.5"
        assert controls.settings.guidance.interval == (0.25, 0.75)
        assert controls.settings.elements.max_distance_to_known == 0.5
        controls.field("elements.max_distance_to_known").box.value = "none"
        assert controls.settings.elements.max_distance_to_known is None


def test_seed_is_renewed_or_reused() -> None:
    control = SeedControl(seed=5)
    assert control.use() == 5 and control.last == 5
    assert control.seed != 5
    control.reuse_button.click()
    assert control.seed == 5 and control.fresh is False
    assert control.use() == 5 and control.seed == 5


def test_the_groups_that_a_formula_can_fill_are_offered(
    until: Callable[..., None],
) -> None:
    box = FormulaBox("SrTiO3", elements=ELEMENTS)
    control = SpaceGroupControl({"name": "space_group", "kind": "space_group", "label": None})
    every = control.box.options
    tl.dlink((box, "counts"), (control, "counts"))
    assert control.counts == [1, 1, 3]
    until(lambda: len(control.box.options) < len(every), 120)
    assert "221 Pm-3m" in control.box.options and "225 Fm-3m" not in control.box.options
    assert "cubic" in control.box.options
    control.ask("Pm-3m")
    assert (control.value, control.box.value) == (221, "221 Pm-3m")
    control.box.value = "62"
    assert "cannot be filled by 1, 1, 3 atoms" in control.problem
    box.formula_units = 4  # Pnma has four of each
    until(lambda: "62 Pnma" in control.box.options and not control.problem)
    assert control.value == 62
    box.text = "Sr?O3"
    until(lambda: len(control.box.options) == len(every))


def test_a_space_group_is_typed_or_chosen() -> None:
    control = SpaceGroupControl({"name": "space_group", "kind": "space_group", "label": None})
    for text, value in (
        ("221", 221),
        ("221 Pm-3m", 221),
        ("Pnma", "Pnma"),
        ("cubic", "cubic"),
        ("62, 225", "62, 225"),
        ("likely", "likely"),
        ("", None),
    ):
        control.box.value = text
        assert (control.value, control.problem) == (value, ""), text
    control.box.value = "Pm3x"
    assert "no space group" in control.problem
    assert control.value is None
    control.value = 225
    assert control.box.value == "225 Fm-3m"
    assert control.problem == ""
    with pytest.raises(RequestError, match="from 1 to 230"):
        control.value = 231


def test_cells_larger_than_any_of_the_training_set_are_no_offer() -> None:
    box = FormulaBox("SrTiO3", elements=["Sr", "Ti", "O"], max_atoms=20, seen_atoms=5)
    assert box.notice.text.endswith("5 atoms in the cell, of at most 5.")
    box.formula_units = 2
    assert box.problem == "" and box.notice.level == "warning"
    assert "has cells of at most 5" in box.notice.text
    box.text, box.num_atoms = "", 20
    assert box.problem == "" and "has cells of at most 5" in box.notice.text
