"""Sampling: one crystal for each asked for, its noise its own, requests met or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crystal_ldm.config.numbers import Whole
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.geometry.distances import closest_contacts, shortest_distances
from crystal_ldm.errors import CrystalLDMError, RequestError
from crystal_ldm.evaluate.band_gap import predict_band_gaps_by_kind
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.diffusion import SamplerStep, StopSampling
from crystal_ldm.nn.checkpoints import save_safetensors
from crystal_ldm.recipe import from_recipe
from crystal_ldm.sampling import (
    BandGapWithin,
    Crystal,
    Filter,
    MinDistance,
    SampleResult,
    UsualDistances,
    option,
)


def assert_same(first: SampleResult, second: SampleResult) -> None:
    a, b = first.crystals, second.crystals
    assert torch.equal(a.atomic_numbers, b.atomic_numbers)
    difference = a.frac_coords - b.frac_coords
    assert (difference - difference.round()).abs().max() < 1e-3
    assert torch.allclose(a.lattices, b.lattices, rtol=1e-3)


def middle(values: torch.Tensor) -> float:
    """Return a limit between the two middle ones of the values: rounding moves none across it."""
    ordered = values[values.isfinite()].sort().values
    return float(ordered[len(ordered) // 2 - 1 : len(ordered) // 2 + 1].mean())


@pytest.fixture(scope="module")
def request_batch() -> CrystalBatch:
    return CrystalBatch.from_formulas(
        ["SrTiO3", "NaCl", "Na??"], [1, 2, 1], band_gap=[2.0, None, (1.0, 3.0)]
    )


def test_every_crystal_asked_for_comes_row_by_row(
    tiny_ldm: LDMModule, request_batch: CrystalBatch
) -> None:
    result = tiny_ldm.sample(request_batch, 4, sampling_steps=2)
    assert result.row.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert result.number.tolist() == [0, 1, 2, 3] * 3
    formulas = [s.composition.formula for s in result.to_structures()]
    assert formulas[:4] == ["Sr1 Ti1 O3"] * 4
    assert formulas[4:8] == ["Na2 Cl2"] * 4
    assert all(len(s) == 3 and "Na" in s.composition for s in result.to_structures()[8:])


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.0, 8.0])
def test_requested_formulas_are_met_at_any_scale(tiny_ldm: LDMModule, scale: float) -> None:
    result = tiny_ldm.sample(
        CrystalBatch.from_formulas(["Ca2Ti2O6"]), 5, cfg_scale=scale, sampling_steps=2
    )
    assert {s.composition.reduced_formula for s in result.to_structures()} == {"CaTiO3"}


@pytest.mark.parametrize(
    "sampler", [("ddim", 0.0), ("ddim", 0.7), ("ddpm", 0.0), ("dpm_solver++", 0.0)]
)
def test_the_batch_size_changes_no_crystal(
    tiny_ldm: LDMModule, request_batch: CrystalBatch, sampler: tuple[str, float]
) -> None:
    options = {"sampler": sampler[0], "eta": sampler[1], "sampling_steps": 4, "seed": 11}
    one = tiny_ldm.sample(request_batch, 3, batch_size=1, **options)
    all_at_once = tiny_ldm.sample(request_batch, 3, batch_size=64, **options)
    assert_same(one, all_at_once)


def test_an_offset_splits_a_request(tiny_ldm: LDMModule, request_batch: CrystalBatch) -> None:
    whole = tiny_ldm.sample(request_batch, 4, sampling_steps=3, seed=5)
    parts = [tiny_ldm.sample(request_batch, 2, sampling_steps=3, seed=5, offset=o) for o in (0, 2)]
    assert_same(whole, SampleResult.cat(parts).in_order())


def test_seeds_matter(tiny_ldm: LDMModule, request_batch: CrystalBatch) -> None:
    first = tiny_ldm.sample(request_batch, 1, seed=0).crystals
    second = tiny_ldm.sample(request_batch, 1, seed=1).crystals
    assert not torch.allclose(first.lattices, second.lattices)
    assert not torch.allclose(
        first.lattices[0], tiny_ldm.sample(request_batch, 2).crystals.lattices[1]
    )


def test_ranges_are_drawn_within_bounds_and_differ(tiny_ldm: LDMModule) -> None:
    request = CrystalBatch.from_num_atoms([3], band_gap=[(1.0, 3.0)])
    targets = tiny_ldm.sample(request, 20, sampling_steps=1).crystals.conditions["band_gap"]
    assert targets.min() >= 1.0 and targets.max() <= 3.0 and len(targets.unique()) == 20


def test_element_rules_hold(tiny_ldm: LDMModule) -> None:
    request = CrystalBatch.from_num_atoms([4], required=["Na"], allowed=["Na", "Cl", "O"])
    result = tiny_ldm.sample(request, 12, sampling_steps=1, attempts=3)
    for structure in result.to_structures():
        symbols = set(structure.composition.as_dict())
        assert "Na" in symbols and symbols <= {"Na", "Cl", "O"}
    assert 0 <= result.acceptance_rate <= 1
    assert int(result.attempts.max()) <= 4
    barred = CrystalBatch.from_num_atoms([4], forbidden=["Na", "O"])
    for structure in tiny_ldm.sample(barred, 12, sampling_steps=1).to_structures():
        assert not {"Na", "O"} & set(structure.composition.as_dict())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "measure"),
    [(MinDistance, shortest_distances), (UsualDistances, closest_contacts)],
    ids=["min_distance", "usual_distances"],
)
def test_crystals_with_atoms_too_close_are_made_again(
    tiny_ldm: LDMModule,
    request_batch: CrystalBatch,
    kind: type[Filter],
    measure: Callable[[CrystalBatch], torch.Tensor],
) -> None:
    options = {"sampling_steps": 3, "attempts": 4}
    drawn = tiny_ldm.sample(request_batch, 20, filters=[], **options)
    limit = middle(measure(drawn.crystals))
    filters = [kind(limit)]
    made = tiny_ldm.sample(request_batch, 20, filters=filters, **options)
    valid = made.passed[kind.kind]
    close = measure(drawn.crystals) < limit
    assert torch.equal(made.attempts > 1, close) and drawn.passed == {}
    assert torch.equal(valid, measure(made.crystals) >= limit)
    kept, again = (~close).nonzero().flatten(), close.nonzero().flatten()
    assert_same(drawn[kept], made[kept])
    assert valid[again].float().mean() > 0.5
    assert bool((made.attempts[~valid] == 5).all())
    assert made.acceptance_rate == int(valid.sum()) / int(made.attempts.sum()) < 1
    assert_same(
        made,
        tiny_ldm.sample(request_batch, 20, filters=filters, batch_size=7, **options),
    )


def test_without_noise_a_crystal_is_the_same_for_every_seed(
    tiny_ldm: LDMModule, request_batch: CrystalBatch
) -> None:
    options = {"sampling_steps": 3, "temperature": 0, "filters": []}
    closed = request_batch[:2]  # nothing else to draw: no open atom, no range of a target
    first = tiny_ldm.sample(closed, 2, **options, seed=0)
    assert_same(first, tiny_ldm.sample(closed, 2, **options, seed=1))
    assert torch.equal(first.crystals.lattices[0::2], first.crystals.lattices[1::2])


def test_what_is_made_again_without_noise_differs(
    tiny_ldm: LDMModule, request_batch: CrystalBatch
) -> None:
    options = {"sampling_steps": 3, "temperature": 0}
    closed = request_batch[:2]  # nothing but noise can make a difference
    drawn = tiny_ldm.sample(closed, 20, **options, filters=[])
    limit = float(shortest_distances(drawn.crystals).max()) - 1e-3
    made = tiny_ldm.sample(closed, 20, **options, filters=[MinDistance(limit)])
    again = made.attempts > 1
    assert int(again.sum()) == 20 and bool(made.passed["min_distance"][again].any())
    moved = (made.crystals.lattices - drawn.crystals.lattices).abs().amax(dim=(1, 2))
    assert bool((moved[again] > 1e-3).all()) and bool((moved[~again] == 0).all())


def test_crystals_predicted_far_from_their_band_gap_are_made_again(tiny_ldm: LDMModule) -> None:
    request = CrystalBatch.from_formulas(["SrTiO3", "NaCl"], band_gap=[2.0, None])
    options = {"sampling_steps": 3, "attempts": 4}
    drawn = tiny_ldm.sample(request, 20, filters=[], **options)
    assert drawn.passed == {} and bool(drawn.passed_all.all())
    asked = drawn.row == 0
    # Each kind of predictor has to be near.
    error = torch.from_numpy(predict_band_gaps_by_kind(drawn.crystals) - 2.0).abs().amax(dim=0)
    tolerance = middle(error[asked])
    far = asked & ~(error <= tolerance)
    assert 0 < int(far.sum()) < 20
    filters = [BandGapWithin(tolerance)]
    made = tiny_ldm.sample(request, 20, filters=filters, **options)
    right = made.passed["band_gap_within"]
    assert torch.equal(made.attempts > 1, far)
    assert_same(drawn[(~far).nonzero().flatten()], made[(~far).nonzero().flatten()])
    error = torch.from_numpy(predict_band_gaps_by_kind(made.crystals) - 2.0).abs().amax(dim=0)
    near = error <= tolerance
    assert torch.equal(right, near | ~asked) and bool(right[far].any())
    assert made.acceptance_rate == int(right.sum()) / int(made.attempts.sum()) < 1
    again = tiny_ldm.sample(request, 20, filters=filters, batch_size=7, **options)
    assert_same(made, again)


def test_a_valid_crystal_is_not_given_up_for_a_band_gap(tiny_ldm: LDMModule) -> None:
    request = CrystalBatch.from_formulas(["SrTiO3"], band_gap=[2.0])
    options = {"sampling_steps": 3, "attempts": 4}
    drawn = tiny_ldm.sample(request, 30, filters=[], **options)
    limit = middle(shortest_distances(drawn.crystals))
    first = shortest_distances(drawn.crystals) >= limit
    made = tiny_ldm.sample(
        request, 30, filters=[MinDistance(limit), BandGapWithin(1e-9)], **options
    )
    assert not made.passed["band_gap_within"].any() and bool((made.attempts == 5).all())
    assert 0 < int(first.sum()) < 30 and bool(made.passed["min_distance"][first].all())
    assert torch.equal(made.passed["min_distance"], shortest_distances(made.crystals) >= limit)


def test_a_model_without_band_gaps_cannot_be_held_to_one(tiny_ldm: LDMModule) -> None:
    network = tiny_ldm.sampler_network
    gap = network.conditions.pop("band_gap")
    try:
        with pytest.raises(RequestError, match=r"BandGapWithin .* has composition\. Leave it out"):
            tiny_ldm.sample(None, 1, filters=[BandGapWithin(0.3)])
    finally:
        network.conditions["band_gap"] = gap


def test_required_elements_are_imposed_on_crystals_that_are_never_valid(
    tiny_ldm: LDMModule,
) -> None:
    request = CrystalBatch.from_num_atoms([2], required=["Si"])
    options = {"sampling_steps": 1, "attempts": 2, "temperature": 10}
    result = tiny_ldm.sample(request, 40, filters=[MinDistance(10)], **options)
    assert not result.passed["min_distance"].any() and result.acceptance_rate == 0
    assert all("Si" in structure.composition for structure in result.to_structures())


def test_de_novo_follows_the_training_sets_sizes(tiny_ldm: LDMModule) -> None:
    result = tiny_ldm.sample(num_samples=40, sampling_steps=1)
    sizes = set(result.crystals.num_atoms.tolist())
    assert sizes <= {n for n, count in enumerate(tiny_ldm.num_atoms_histogram) if count}
    assert len(sizes) > 1


def test_the_trajectory_ends_at_the_crystal(tiny_ldm: LDMModule) -> None:
    result = tiny_ldm.sample(
        CrystalBatch.from_formulas(["NaCl", "SrTiO3"]), 2, sampling_steps=5, trajectory=True
    )
    assert [frame.step for frame in result.trajectory] == list(range(5))
    levels = torch.stack([frame.noise_level for frame in result.trajectory])
    assert levels.shape == (5, 4) and (levels[:-1] > levels[1:]).all()
    last = result.trajectory[-1]
    assert len(last.crystals) == len(result) == len(last.predicted_noise_rms)
    assert torch.allclose(last.crystals.lattices, result.crystals.lattices, rtol=1e-3)
    assert (last.element_confidence[last.crystals.mask] > 0).all()


def test_stopping_keeps_finished_batches(tiny_ldm: LDMModule, request_batch: CrystalBatch) -> None:
    seen: list[int] = []

    def stop_in_the_third_batch(step: SamplerStep) -> None:
        seen.append(step.step)
        if len(seen) > 5:
            raise StopSampling

    options = {"batch_size": 2, "sampling_steps": 2, "filters": []}
    stopped = tiny_ldm.iter_sample(request_batch, 2, callback=stop_in_the_third_batch, **options)
    batches = list(stopped)
    assert [len(b) for b in batches] == [2, 2]


@pytest.mark.slow
def test_a_recipe_gives_the_same_crystals(
    tiny_ldm: LDMModule, request_batch: CrystalBatch, tmp_path: Path
) -> None:
    path = tmp_path / "ldm.safetensors"
    save_safetensors(tiny_ldm, path, half=False)
    ldm = LDMModule.load_from_checkpoint(path)
    result = ldm.sample(request_batch, 2, sampling_steps=3, seed=9, cfg_scale={"band_gap": 3.0})
    (tmp_path / "recipe.json").write_text(json.dumps(result.recipe))
    assert_same(result, from_recipe(tmp_path / "recipe.json"))


def test_half_precision_files_keep_the_model_hash(tiny_ldm: LDMModule, tmp_path: Path) -> None:
    save_safetensors(tiny_ldm, tmp_path / "half.safetensors")
    once = LDMModule.load_from_checkpoint(tmp_path / "half.safetensors")
    assert once.model_hash == tiny_ldm.model_hash


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda ldm: ldm.sample(CrystalBatch.from_formulas(["Au2O3"])), "not trained on Au"),
        (lambda ldm: ldm.sample(CrystalBatch.from_formulas(["NaCl"], 11)), "22 atoms"),
        (lambda ldm: ldm.sample(CrystalBatch.from_formulas(["NaCl"], band_gap=[-1.0])), "outside"),
        (lambda ldm: ldm.sample(CrystalBatch.from_formulas(["NaCl"], bandgap=[1.0])), "'band_gap'"),
        (lambda ldm: ldm.sample(num_sample=3), "no setting"),
        (lambda ldm: ldm.sample(num_samples=0), "num_samples"),
        (lambda ldm: ldm.sample(sampler="dim"), "Did you mean 'ddim'"),
        (lambda ldm: ldm.sample(seed=-1), "seed"),
        (lambda ldm: ldm.sample(precision="float16"), "precision"),
        (lambda ldm: ldm.sample(cfg_interval=(0.9, 0.1)), "cfg_interval"),
        (lambda ldm: ldm.sample(CrystalBatch.from_formulas(["NaCl"], required=["O"])), "required"),
        (lambda ldm: ldm.sample(CrystalBatch.from_formulas(["Na?"], allowed=["Au"])), "Au"),
    ],
)
def test_what_the_model_cannot_do_is_refused_in_one_sentence(
    tiny_ldm: LDMModule, make: object, words: str
) -> None:
    with pytest.raises(CrystalLDMError, match=words) as caught:
        make(tiny_ldm)  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_neighbours_of_a_crystal(tiny_ldm: LDMModule, known_batch: CrystalBatch) -> None:
    near = tiny_ldm.sample(known_batch[[0]], 3, start=Crystal(0.2), sampling_steps=10)
    assert [s.composition.reduced_formula for s in near.to_structures()] == ["SrTiO3"] * 3
    with pytest.raises(RequestError, match="strength"):
        tiny_ldm.sample(known_batch[[0]], start=Crystal(0.0))


def test_a_path_between_two_crystals_has_both_ends(
    tiny_ldm: LDMModule, known_batch: CrystalBatch
) -> None:
    path = tiny_ldm.interpolate(known_batch[[1]], known_batch[[2]], steps=5)
    start = tiny_ldm.vae.reconstruct(known_batch[[1]], corrections=0)
    assert len(path) == 5
    assert torch.allclose(path.lattices[0], start.lattices[0], rtol=1e-4)
    with pytest.raises(RequestError, match="as many atoms"):
        tiny_ldm.interpolate(known_batch[[0]], known_batch[[1]])


@pytest.mark.slow
def test_two_threads_give_the_crystals_of_one(
    tiny_ldm: LDMModule, request_batch: CrystalBatch
) -> None:
    before = torch.get_num_threads()
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(tiny_ldm.sample(request_batch, 4, sampling_steps=3))
    torch.set_num_threads(before)
    assert_same(*results)


def test_unknown_model_is_no_silent_default() -> None:
    from crystal_ldm import load_pretrained

    with pytest.raises(CrystalLDMError, match="no shipped model 'oqmd'"):
        load_pretrained("oqmd")


def test_of_several_filters_of_one_kind_all_have_to_be_passed(tiny_ldm: LDMModule) -> None:
    request = CrystalBatch.from_formulas(["SrTiO3"])
    filters = [MinDistance(10), MinDistance(0)]  # no crystal passes the first
    result = tiny_ldm.sample(request, 4, sampling_steps=1, filters=filters, attempts=1)
    assert not bool(result.passed["min_distance"].any())
    assert result.attempts.tolist() == [2] * 4


def test_a_number_of_a_users_own_filter_is_no_space_group(tiny_ldm: LDMModule) -> None:
    class CountAtMost(Filter):
        """Crystals of more atoms are made again."""

        number: Whole = option(62, "Most atoms")

        def passes(self, ldm: LDMModule, crystals: CrystalBatch) -> torch.Tensor:
            """See `Filter`."""
            return crystals.num_atoms <= self.number

    request = CrystalBatch.from_formulas(["SrTiO3"])
    try:
        result = tiny_ldm.sample(request, 2, sampling_steps=1, filters=[CountAtMost()])
    finally:
        Filter._kinds["filters"].pop("count_at_most")
    assert bool(result.displacement.isnan().all())


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"callback": 3}, "callback must be a function"),
        ({"wanted": 3}, "wanted must be a function of row and number, or pairs"),
        ({"wanted": [0, 1]}, "wanted must be a function of row and number, or pairs"),
        ({"wanted": [(0, 1, 2)]}, "wanted must be a function of row and number, or pairs"),
        ({"wanted": [(0, 2)]}, "no crystal in row 0, number 2"),
        ({"wanted": [(-1, 0)]}, "no crystal in row -1, number 0"),
        ({"wanted": []}, "none was wanted"),
    ],
)
def test_what_is_wanted_is_checked(tiny_ldm: LDMModule, how: Any, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        tiny_ldm.sample(CrystalBatch.from_formulas(["NaCl"]), 2, sampling_steps=1, **how)


def test_an_interrupted_loop_has_the_batches_that_were_finished(tiny_ldm: LDMModule) -> None:
    how: dict[str, Any] = {"batch_size": 2, "sampling_steps": 2, "filters": []}
    batch, finished = CrystalBatch.from_formulas(["NaCl"]), []

    def interrupt(step: SamplerStep) -> None:
        if finished and step.step == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        for result in tiny_ldm.iter_sample(batch, 4, callback=interrupt, **how):
            finished.append(result)
    whole = tiny_ldm.sample(batch, 4, **how)
    assert len(finished) == 1 and finished[0].number.tolist() == [0, 1]
    assert torch.equal(finished[0].crystals.lattices, whole[:2].crystals.lattices)


def test_a_part_of_a_result_is_chosen_as_of_a_list(tiny_ldm: LDMModule) -> None:
    wanted = torch.tensor([[0, 0], [0, 2], [0, 3]])
    batch = CrystalBatch.from_formulas(["NaCl"])
    result = tiny_ldm.sample(batch, np.float64(4), sampling_steps=1, wanted=wanted, trajectory=True)
    assert result.number.tolist() == [0, 2, 3]
    for index, numbers in [
        (slice(1, 3), [2, 3]),
        (-1, [3]),
        (np.array([True, False, True]), [0, 3]),
    ]:
        part = result[index]
        assert part.number.tolist() == numbers and len(part.crystals) == len(part.passed_all)
        assert all(len(frame.crystals) == len(numbers) for frame in part.trajectory or [])
    assert len(result[[]]) == 0 and len(result.representatives(np.int64(2))) == 2
