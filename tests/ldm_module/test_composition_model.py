"""The composition model: a distribution over what a request leaves open, and over nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from crystal_ldm.config import instantiate
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import ConfigError, RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.composition_model import (
    CompositionModel,
    CompositionTraining,
    draw_compositions,
)
from crystal_ldm.ldm_module.composition_model.sequences import Sequences, State, counts_by_place
from crystal_ldm.ldm_module.composition_model.training import composition_loss
from crystal_ldm.ldm_module.guidance import Pass
from crystal_ldm.ldm_module.latents import LatentBatch
from crystal_ldm.ldm_module.training_crystals import TrainingCrystals
from crystal_ldm.nn.checkpoints import former_name, save_safetensors
from crystal_ldm.random import torch_generator
from crystal_ldm.recipe import from_recipe
from crystal_ldm.sampling import Crystal, Elements
from tests.conftest import make_tiny_ldm


@pytest.fixture(scope="module")
def ldm(known_batch: CrystalBatch) -> LDMModule:
    return make_tiny_ldm(known_batch, composition_model=True)


def small_model(**options: float) -> CompositionModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CompositionModel(hidden_size=32, depth=1, num_heads=2, **options)


def symbols_of(structures: list) -> list[set[str]]:
    return [set(s.composition.as_dict()) for s in structures]


def test_compositions_and_sequences_are_the_same_thing(known_batch: CrystalBatch) -> None:
    counts = counts_by_place(known_batch.atomic_numbers)
    sequences = Sequences.of(counts)
    again = torch.zeros_like(counts).scatter_add_(1, sequences.places, sequences.counts)
    assert torch.equal(again, counts)
    assert counts.sum(dim=1).tolist() == known_batch.num_atoms.tolist()


def test_probabilities_of_all_compositions_add_up_to_one() -> None:
    """Over three elements and four atoms, one of them given, there are ten compositions."""
    model = small_model()
    model.element_head.weight.data.normal_(generator=torch_generator(1))
    by_place = torch.zeros(119, dtype=torch.bool)
    by_place[[5, 9, 40]] = True
    given = torch.zeros(1, 119, dtype=torch.long)
    given[0, 9] = 1
    total = 0.0
    found = 0
    for a in range(4):
        for b in range(4 - a):
            counts = given.clone()
            counts[0, [5, 9, 40]] += torch.tensor([a, b, 3 - a - b])
            total += float(torch.exp(-_loss(model, counts, given, by_place).detach()))
            found += 1
    assert found == 10
    assert total == pytest.approx(1.0, abs=1e-5)


def _loss(
    model: CompositionModel, counts: torch.Tensor, given: torch.Tensor, by_place: torch.Tensor
) -> torch.Tensor:
    """−log p of one composition, step by step as `draw_compositions` walks."""
    context = model.context(counts.sum(dim=1), given, {})
    state = State(torch.tensor([0]), (counts - given).sum(dim=1), given, by_place[None])
    places, numbers, states = [0], [0], [state]
    loss = torch.zeros(())
    for place, count in zip(
        *(v[0].tolist() for v in vars(Sequences.of(counts)).values()), strict=True
    ):
        sequence = Sequences(torch.tensor([places]), torch.tensor([numbers]))
        hidden = model(sequence, State.stack(states), context)[:, -1]
        chosen = torch.tensor([place])
        element = model.element_head(hidden).masked_fill(~state.element_choices(), -torch.inf)
        number = model.count_logits(hidden, chosen).masked_fill(
            ~state.count_choices(chosen, 20), -torch.inf
        )
        loss = loss - element.log_softmax(-1)[0, place] - number.log_softmax(-1)[0, count]
        state = state.after(chosen, torch.tensor([count]))
        places.append(place)
        numbers.append(count)
        states.append(state)
    assert int(state.left) == 0
    return loss


def test_training_walks_as_drawing_does(known_batch: CrystalBatch) -> None:
    """The loss of whole batches is that of single steps, with nothing given."""
    model = small_model()
    by_place = counts_by_place(known_batch.atomic_numbers).sum(dim=0) > 0
    counts = counts_by_place(known_batch.atomic_numbers)
    nothing = torch.zeros_like(counts)
    single = [
        _loss(model, c[None], g[None], by_place) for c, g in zip(counts, nothing, strict=True)
    ]
    whole = []
    for seed in range(40):  # whatever is given, it can be completed
        loss = composition_loss(
            model, known_batch, {}, by_place, torch_generator(seed), dropout=False
        )
        assert loss.isfinite() and loss > 0
        whole.append(float(loss))
    assert max(whole) <= float(torch.stack(single).mean()) * 1.5


@pytest.mark.slow
def test_a_small_world_is_learned(known_batch: CrystalBatch) -> None:
    """After training on a few formulas nearly all that is drawn is one of them."""
    crystals = CrystalBatch.cat([known_batch] * 12)
    model = small_model(epochs=250, learning_rate=5e-3, dropout=0.0)
    known = torch.zeros(119, dtype=torch.bool)
    known[crystals.atomic_numbers.unique()] = True
    known[0] = False
    items = LatentBatch(crystals, torch.zeros(*crystals.atomic_numbers.shape, 1), {})
    training = CompositionTraining(model, items, items, known)
    while not training.finished:
        training.run_step()
    assert training.loss < 4.0
    size = 5
    request = CrystalBatch.from_num_atoms([size] * 50)
    drawn = draw_compositions(
        model.double(),
        request.atomic_numbers,
        request.num_atoms,
        known.expand(50, -1),
        {},
        [],
        [Pass(0, 1.0)],
        [np.random.default_rng(i) for i in range(50)],
    )
    of_size = known_batch.atomic_numbers[known_batch.num_atoms == size]
    seen = {tuple(sorted(row[row > 0].tolist())) for row in of_size}
    assert np.mean([tuple(sorted(row.tolist())) in seen for row in drawn]) > 0.8


def test_what_is_given_allowed_and_required_is_met(ldm: LDMModule) -> None:
    request = CrystalBatch.from_formulas(["Na??Cl"], required=["O"], forbidden=["Sr"])
    result = ldm.sample(request, 30, sampling_steps=1, filters=[])
    for symbols in symbols_of(result.to_structures()):
        assert {"Na", "Cl", "O"} <= symbols and "Sr" not in symbols
    assert result.acceptance_rate == 1
    only = CrystalBatch.from_num_atoms([6], allowed=["Na", "O"])
    for symbols in symbols_of(ldm.sample(only, 30, sampling_steps=1).to_structures()):
        assert symbols <= {"Na", "O"}


def test_elements_depend_on_seed_and_place_alone(ldm: LDMModule) -> None:
    request = CrystalBatch.from_formulas(["SrTiO3", "Na?", "????"], band_gap=[2.0, None, 1.0])
    whole = ldm.sample(request, 5, sampling_steps=2, seed=3)
    alone = ldm.sample(request, 5, sampling_steps=2, seed=3, batch_size=1)
    assert torch.equal(whole.crystals.atomic_numbers, alone.crystals.atomic_numbers)
    assert torch.allclose(whole.crystals.lattices, alone.crystals.lattices, rtol=1e-3)
    other = ldm.sample(request, 5, sampling_steps=2, seed=4)
    assert not torch.equal(whole.crystals.atomic_numbers, other.crystals.atomic_numbers)
    assert torch.equal(whole.crystals.atomic_numbers[:5], other.crystals.atomic_numbers[:5])


@pytest.mark.slow
def test_formulas_of_the_training_set_are_drawn_again(
    ldm: LDMModule, known_batch: CrystalBatch
) -> None:
    assert set(ldm.training_crystals.crystals.formulas) == set(known_batch.formulas)
    request = CrystalBatch.from_formulas(["Sr?O3", "????"], allowed=["Ti", "Ca", "O"])
    options = {"sampling_steps": 1, "filters": []}
    drawn = ldm.sample(request, 60, **options)
    known = torch.tensor(
        [f in set(ldm.training_crystals.crystals.formulas) for f in drawn.crystals.formulas]
    )
    assert torch.equal(drawn.new_formula, ~known) and 0 < int(known.sum()) < len(drawn)
    made = ldm.sample(request, 60, **options, elements=Elements(new_formula=True))
    assert bool(made.new_formula.all())
    assert not set(ldm.training_crystals.crystals.formulas) & set(made.crystals.formulas)
    kept = (~known).nonzero().flatten()
    assert torch.equal(made.crystals.lattices[kept], drawn.crystals.lattices[kept])
    apart = ldm.sample(request, 60, **options, elements=Elements(new_formula=True), batch_size=7)
    assert apart.crystals.formulas == made.crystals.formulas


def test_charges_are_in_balance_where_an_anion_is_named(ldm: LDMModule) -> None:
    request = CrystalBatch.from_formulas(["Sr?O3", "Sr???"], allowed=["Ti", "Ca", "O"])
    options = {"sampling_steps": 1, "filters": [], "seed": 1}
    drawn = ldm.sample(request, 30, elements=Elements(charge_balanced=False), **options)
    assert len(set(drawn.crystals.formulas[:30])) > 1
    made = ldm.sample(request, 30, **options)
    assert set(made.crystals.formulas[:30]) == {"SrTiO3"}
    assert torch.equal(made.crystals.lattices[30:], drawn.crystals.lattices[30:])  # names none
    kept = [i for i, formula in enumerate(drawn.crystals.formulas[:30]) if formula == "SrTiO3"]
    assert torch.equal(made.crystals.lattices[kept], drawn.crystals.lattices[kept])
    recipe = json.loads(json.dumps(drawn.recipe))
    recipe["sampling"]["elements"].pop("charge_balanced")  # as it was before there was the option
    again = from_recipe(json.dumps(recipe).encode(), ldm=ldm)
    assert torch.equal(again.crystals.atomic_numbers, drawn.crystals.atomic_numbers)


def test_charges_without_a_balance_stay_as_they_are(ldm: LDMModule) -> None:
    request = CrystalBatch.from_formulas(["Sr?O3"], allowed=["Ca"])
    assert ldm.sample(request, 2, sampling_steps=1).crystals.formulas == ["SrCaO3"] * 2


def test_a_low_temperature_draws_the_usual_compositions(ldm: LDMModule) -> None:
    request = CrystalBatch.from_formulas(["????"])
    options = {"sampling_steps": 1, "filters": []}
    numbers = [
        len(
            set(
                ldm.sample(
                    request, 60, elements=Elements(temperature=t), **options
                ).crystals.formulas
            )
        )
        for t in (0, 0.5, 1, 2)
    ]
    assert numbers[0] == 1 and numbers == sorted(set(numbers))


def test_new_formulas_without_a_temperature(ldm: LDMModule) -> None:
    """The likeliest composition is the same each time; another has to be drawn."""
    request = CrystalBatch.from_formulas(["Sr?O3"], allowed=["Ti", "Ca"])
    options = {"sampling_steps": 1}
    coldest = Elements(temperature=0)
    likeliest = ldm.sample(request, 1, elements=coldest, **options).crystals.formulas[0]
    known, ldm.training_crystals = ldm.training_crystals, TrainingCrystals()
    ldm.training_crystals.add(known.crystals[[known.crystals.formulas.index(likeliest)]])
    try:
        made = ldm.sample(request, 8, **options, elements=Elements(0, new_formula=True))
    finally:
        ldm.training_crystals = known
    assert likeliest not in made.crystals.formulas and bool(made.new_formula.all())


@pytest.mark.slow
def test_what_can_only_become_a_known_formula_is_marked_as_such(ldm: LDMModule) -> None:
    request = CrystalBatch.from_formulas(["SrTiO3", "Sr?O3"], allowed=["Ti"])
    made = ldm.sample(request, 2, sampling_steps=1, elements=Elements(new_formula=True))
    assert made.crystals.formulas == ["SrTiO3"] * 4 and not made.new_formula.any()


def test_new_formulas_need_a_composition_model(
    ldm: LDMModule, tiny_ldm: LDMModule, known_batch: CrystalBatch
) -> None:
    with pytest.raises(RequestError, match="cannot be had here"):
        tiny_ldm.sample(None, 1, elements=Elements(new_formula=True))
    with pytest.raises(RequestError, match="cannot be had here"):
        ldm.sample(known_batch[[0]], start=Crystal(), elements=Elements(new_formula=True))
    with pytest.raises(RequestError, match="cannot be had here"):
        ldm.sample(CrystalBatch.from_formulas(["SrTiO3"]), 1, elements=Elements(new_formula=True))


def test_without_guidance_a_condition_changes_nothing(ldm: LDMModule) -> None:
    """All scales 0 are the unconditional model, in the elements, too."""
    free = ldm.sample(CrystalBatch.from_num_atoms([5]), 20, cfg_scale=0, sampling_steps=1)
    asked = CrystalBatch.from_num_atoms([5], band_gap=[3.0])
    ignored = ldm.sample(asked, 20, cfg_scale=0, sampling_steps=1)
    heeded = ldm.sample(asked, 20, cfg_scale=4, sampling_steps=1)
    assert torch.equal(free.crystals.atomic_numbers, ignored.crystals.atomic_numbers)
    assert torch.allclose(free.crystals.lattices, ignored.crystals.lattices)
    assert not torch.equal(free.crystals.atomic_numbers, heeded.crystals.atomic_numbers)


def test_a_trajectory_shows_elements_arriving(ldm: LDMModule) -> None:
    result = ldm.sample(
        CrystalBatch.from_formulas(["Na????"]), 8, sampling_steps=4, trajectory=True
    )
    last = result.trajectory[-1].crystals.atomic_numbers
    assert torch.equal(last, result.crystals.atomic_numbers)
    first = result.trajectory[0].crystals.atomic_numbers
    assert not torch.equal(first, last)
    assert (first == 11).any(dim=1).all()


def test_it_needs_a_denoiser_that_knows_compositions(ldm: LDMModule) -> None:
    config = {**ldm.config, "conditions": {}}
    with pytest.raises(ConfigError, match="add the condition"):
        instantiate(config)
    config = {**ldm.config, "composition_model": {"_target_": "CompositionModel", "max_atoms": 4}}
    with pytest.raises(ConfigError, match="max_atoms=20"):
        instantiate(config)


def test_a_file_with_the_names_of_before_is_the_same_model(ldm: LDMModule, tmp_path: Path) -> None:
    """`prior` and `known` are `composition_model` and `training_crystals` now."""
    path = tmp_path / "today.safetensors"
    save_safetensors(ldm, path)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["crystal_ldm"])
        state = {former_name(name): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert {"prior", "known"} < {name.split(".")[0] for name in state}
    config = header["config"]
    config["prior"] = {**config.pop("composition_model"), "_target_": "CompositionPrior"}
    save_file(state, tmp_path / "before.safetensors", {"crystal_ldm": json.dumps(header)})
    before = LDMModule.load_from_checkpoint(tmp_path / "before.safetensors")
    assert before.model_hash == LDMModule.load_from_checkpoint(path).model_hash == ldm.model_hash
    assert before.training_crystals.hash == ldm.training_crystals.hash
    assert before.config["composition_model"]["_target_"] == "CompositionModel"
