"""All six notebooks through papermill, one after the other, as in a first session."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from papermill import inspect_notebook
from pymatgen.core import Lattice, Structure

from crystal_ldm.files import read_status
from crystal_ldm.pretrained import load_model
from crystal_ldm.recipe import from_recipe
from crystal_ldm.training import read_metrics
from crystal_ldm.workflow.declared_parameters import notebook_parameters, permitted_parameters
from crystal_ldm.workflow.notebooks import find_notebook

PARAMETERS = {
    "01_data": "dataset data_dir max_atoms run_dir",
    "02_vae": "experiment dataset data_dir overrides init_from max_minutes run_dir seed",
    "03_ldm": "experiment dataset data_dir conditions vae_ckpt overrides init_from max_minutes "
    "run_dir seed",
    "04_sample": "ldm_ckpt formula formula_units num_atoms crystals band_gap conditions required "
    "allowed forbidden preset cfg_scale cfg_interval sampler sampling_steps eta temperature start "
    "elements filters attempts num_samples seed batch_size precision trajectory run_dir",
    "05_analysis": "runs reference judge relax ldm_ckpt calibration targets scales steps "
    "workers run_dir",
    "06_discover": "ldm_ckpt system formula formula_units num_atoms num_elements required allowed "
    "forbidden band_gap max_hull_distance space_group "
    "num_candidates relaxed_share max_minutes second_opinions judge fmax max_steps workers dask "
    "seed run_dir preset",
}


def table(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "table.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def check_report(executed: Any, figures: int) -> None:
    """Assert that notebook and report lie in the run, with figures and without addresses."""
    assert executed.code == 0, executed.error[-2000:]
    assert len(executed.figures) == figures
    assert executed.page.count("Plotly.newPlot(") >= figures
    assert not re.search(r"(?:https?|wss?)://", executed.page)
    assert not executed.outputs("application/vnd.jupyter.widget-view+json")
    status = json.loads((executed.run_dir / "status.json").read_text())
    assert status["state"] == "finished"


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_come_first_and_are_documented_line_by_line(name: str) -> None:
    path = find_notebook(name)
    assert set(PARAMETERS[name].split()) <= {one.name for one in permitted_parameters(path)}
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert len(notebook.cells) <= 15
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    assert notebook.cells[1].metadata.tags == ["parameters"]
    for line in notebook.cells[1].source.splitlines():
        if line and not line.startswith("#"):
            assert re.match(r"\w+ = .+  # \w.+", line), line
    # papermill warns of each parameter that it cannot read, such as `count: int | list = 1`.
    assert list(inspect_notebook(str(path))) == [one.name for one in notebook_parameters(path)]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


def test_01_shows_data_and_names_what_was_rejected(
    papermill: Callable[..., Any], small_csv: Path
) -> None:
    done = papermill("01_data", "data", "-r", "dataset", str(small_csv), "-p", "max_atoms", "6")
    check_report(done, figures=5)
    summary = json.loads((done.run_dir / "summary.json").read_text())
    assert sum(summary["parts"].values()) == summary["crystals"] > 100
    assert summary["crystals"] + sum(summary["dropped"].values()) == summary["found"]
    assert "broken" in (done.run_dir / "rejected.csv").read_text()
    assert "broken" in done.text


def test_02_trains_and_is_continued_by_the_same_run(
    papermill: Callable[..., Any], small_csv: Path, tiny_vae: Any, vae_words: Callable[..., Any]
) -> None:
    check_report(tiny_vae, figures=4)
    for name in ("last.ckpt", "model.safetensors", "metrics.jsonl"):
        assert (tiny_vae.run_dir / name).is_file()
    before = read_metrics(tiny_vae.run_dir / "metrics.jsonl")
    words = vae_words(small_csv)
    again = papermill("02_vae", "vae", *words, "-p", "max_minutes", "0.05")
    check_report(again, figures=4)
    assert "continuing run" in again.text and "of 7,000 steps are done" in again.text
    assert not re.search(r"^0 of 7,000", again.text, re.MULTILINE)
    after = read_metrics(again.run_dir / "metrics.jsonl")
    assert after[-1]["step"] > before[-1]["step"]
    assert after[: len(before)] == before

    other = papermill("02_vae", "vae", *vae_words(small_csv, seed=1), "-p", "max_minutes", "0.05")
    assert other.code != 0
    assert other.sentence.startswith("RunError: ")
    assert "seed was 0 and is now 1" in other.sentence
    assert read_metrics(again.run_dir / "metrics.jsonl") == after


def test_03_trains_on_the_latents_of_that_vae(tiny_ldm: Any) -> None:
    check_report(tiny_ldm, figures=3)
    assert "composition, band_gap" in tiny_ldm.text
    losses = [line["loss"] for line in read_metrics(tiny_ldm.run_dir / "metrics.jsonl")
              if "loss" in line]  # fmt: skip
    assert losses[-1] < losses[0]


def test_03_from_a_trained_model_keeps_its_vae(
    papermill: Callable[..., Any], small_csv: Path, tiny_ldm: Any
) -> None:
    overrides = [f"data.dataset={small_csv}", "data.max_atoms=6", "training.precision=32-true"]
    done = papermill(
        "03_ldm", "ldm-again", "-y", f"overrides: {json.dumps(overrides)}", "-r", "init_from",
        str(tiny_ldm.run_dir), "-p", "max_minutes", "0.05",
    )  # fmt: skip
    assert done.code == 0, done.error[-2000:]
    assert "the VAE of the shipped model" not in done.text
    assert not (done.run_dir / "vae.safetensors").exists()
    old, new = load_model(str(tiny_ldm.run_dir)), load_model(str(done.run_dir))
    assert new.model_hash != old.model_hash
    same = zip(old.vae.state_dict().values(), new.vae.state_dict().values(), strict=True)
    assert all((a == b).all() for a, b in same)


def test_the_same_seed_gives_the_same_training_however_it_is_interrupted(
    papermill: Callable[..., Any], small_csv: Path, vae_words: Callable[..., Any]
) -> None:
    def losses(run: str) -> list[tuple[float, float]]:
        lines = read_metrics(papermill.folder / run / "metrics.jsonl")
        return [(line["step"], line["loss"]) for line in lines if "loss" in line]

    words = vae_words(small_csv, 5, "vae_module.optimizer.max_steps=40", "training.log_every=8")
    assert papermill("02_vae", "whole", *words, "-p", "max_minutes", "9").code == 0
    for minutes in ("0.001", "9"):  # one step, and the others
        assert papermill("02_vae", "parts", *words, "-p", "max_minutes", minutes).code == 0
    assert [step for step, _ in losses("whole")] == [8, 16, 24, 32, 40]
    for (_, whole), (_, parts) in zip(losses("whole"), losses("parts"), strict=True):
        assert parts == pytest.approx(whole, rel=1e-4)


def test_03_adds_a_condition_to_a_trained_model(
    papermill: Callable[..., Any], small_csv: Path, tmp_path: Path
) -> None:
    rows = small_csv.read_text(encoding="utf-8").replace("band_gap", "stiffness", 1)
    own = tmp_path / "my data, (ü) = [1]#.csv"
    own.write_text(rows, encoding="utf-8")
    words = ["-r", "dataset", str(own), "-r", "init_from", "oqmd_icsd", "-r", "conditions",
             "{stiffness: GPa}", "-p", "max_minutes", "0.2"]  # fmt: skip
    done = papermill("03_ldm", "ldm-condition", *words)
    check_report(done, figures=3)
    trained = ["composition", "band_gap", "space_group", "e_above_hull"]
    assert f"conditions: {', '.join(trained)}, stiffness" in done.text
    recipe = json.loads((done.run_dir / "run.json").read_text())["recipe"]
    assert list(recipe["conditions"]) == [*trained, "stiffness"]
    model, old = load_model(str(done.run_dir)), load_model()
    assert list(model.conditions) == list(recipe["conditions"])
    assert model.elements == old.elements and model.composition_model is not None
    assert model.conditions["stiffness"].describe()["unit"] == "GPa"
    assert papermill("03_ldm", "ldm-condition", *words).code == 0
    assert not ("which is all" in done.text and "cannot steer yet" in done.text)

    refused = papermill("03_ldm", "ldm-refused", "-r", "data_dir", str(own))
    assert refused.code != 0 and "write dataset=" in refused.sentence


def test_04_and_05_make_crystals_and_judge_them(
    papermill: Callable[..., Any], small_csv: Path, tiny_ldm: Any
) -> None:
    words = ["-r", "ldm_ckpt", str(tiny_ldm.run_dir), "-r", "formula", "NaCl, Na?",
             "-p", "band_gap",
             "2.0", "-p", "num_samples", "3", "-p", "trajectory", "True", "-p", "p1_cif", "True",
             "-p", "sampling_steps", "4", "-r", "forbidden", "[Cl, Br]"]  # fmt: skip
    made = papermill("04_sample", "sample", *words)
    check_report(made, figures=4)
    lines = table(made.run_dir)
    assert [(line["row"], line["number"]) for line in lines].count(("0", "0")) == 1
    assert len(lines) == 6
    for line in lines:
        structure = Structure.from_file(made.run_dir / line["cif"])
        assert structure.composition.reduced_formula == line["formula"]
        assert (made.run_dir / "cif_p1" / f"{line['id']}.cif").is_file()
        assert line["target_band_gap"] == "2.0"
    assert {line["formula"] for line in lines if line["row"] == "0"} == {"NaCl"}
    assert not {"Cl", "Br"} & {
        str(e) for line in lines if line["row"] == "1"
        for e in Structure.from_file(made.run_dir / line["cif"]).elements
    }  # fmt: skip
    film = next(figure for figure in made.figures if figure.get("frames"))
    assert len(film["frames"]) == 4 + 1

    again = from_recipe(made.run_dir / "recipe.json").to_structures()
    assert sorted(s.composition.reduced_formula for s in again) == sorted(
        line["formula"] for line in lines
    )

    written = (made.run_dir / "table.csv").read_bytes()
    same = papermill("04_sample", "sample", *words, "-p", "batch_size", "2")
    assert same.code == 0, same.error[-2000:]
    assert "6 of 6 crystals are there already" in same.text
    other = papermill("04_sample", "sample", *words, "-p", "cfg_scale", "1.0")
    assert other.code != 0 and other.sentence.startswith("RunError: ")
    assert "guidance.scale was 2.0 and is now 1.0" in other.sentence
    assert (made.run_dir / "table.csv").read_bytes() == written

    judged = papermill(
        "05_analysis", "analysis", "-r", "runs", str(made.run_dir), "-r", "reference",
        str(small_csv), "-p", "workers", "1",
    )  # fmt: skip
    check_report(judged, figures=7)
    with (judged.run_dir / "evaluation.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [line["id"] for line in lines]
    assert {"valid", "unique", "novel", "band_gap", "target_band_gap"} <= set(rows[0])

    # The reference has no band gaps; what is calibrated is part of the run.
    refused = papermill(
        "05_analysis", "calibration", "-r", "runs", str(made.run_dir), "-r", "reference",
        str(made.run_dir / "cif"), "-r", "judge", "", "-p", "calibration", "1", "-p", "targets",
        "99", "-p", "workers", "1",
    )  # fmt: skip
    assert "band_gap = 99 eV is outside what this model was trained for" in refused.sentence
    assert read_status(refused.run_dir)["state"] == "failed"


def test_a_host_structure_comes_from_a_file(papermill: Callable[..., Any], tmp_path: Path) -> None:
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    host = Structure(Lattice.cubic(3.905), ["Sr", "Ti", "O", "O", "O"], sites)
    host.to(str(tmp_path / "host.cif"))
    done = papermill(
        "04_sample", "host", "-r", "crystals", str(tmp_path / "host.cif"), "-r",
        "start_host_replace", "{1: '?'}", "-r", "forbidden", "Ti", "-p", "num_samples", "2",
    )  # fmt: skip
    check_report(done, figures=3)
    again = from_recipe(done.run_dir / "recipe.json").to_structures()
    assert len(again) == len(table(done.run_dir)) == 2
    for structure in again:
        assert structure.lattice.abc == pytest.approx((3.905,) * 3, abs=1e-4)
        assert structure.frac_coords == pytest.approx(host.frac_coords, abs=1e-4)
        assert [e.symbol for e in structure.species][::2] == ["Sr", "O", "O"]
        assert structure.species[1].symbol != "Ti"


def test_the_formula_inf_stays_a_formula_with_the_shipped_model(
    papermill: Callable[..., Any],
) -> None:
    done = papermill("04_sample", "inf", "-r", "formula", "InF", "-p", "num_samples", "2",
                     "-p", "filters_min_distance_limit", "0.6")  # fmt: skip
    check_report(done, figures=3)
    assert [line["formula"] for line in table(done.run_dir)] == ["InF", "InF"]
    assert from_recipe(done.run_dir / "recipe.json").recipe["sampling"]["filters"] == [
        {"name": "min_distance", "limit": 0.6}
    ]
    number = papermill("04_sample", "number", "-p", "formula", "InF")
    assert number.code != 0 and not number.run_dir.exists()
    assert "formula arrived as inf and not as text: with papermill write -r" in number.sentence


def test_06_finds_compounds_and_reports_them(papermill: Callable[..., Any]) -> None:
    words = ["-r", "formula", "Na?", "-p", "num_candidates", "4", "-p", "max_steps", "5",
             "-p", "fmax", "0.5", "-p", "max_hull_distance", "3.0", "-p", "second_opinions", "0",
             "-p", "workers", "1", "-p", "filters_min_distance_limit", "1.0"]  # fmt: skip
    done = papermill("06_discover", "discover", *words)
    check_report(done, figures=4)
    assert "4 made" in done.text and "round 1 of 1: 4 candidates are made" in done.text
    plain = ["".join(text) for text in done.outputs("text/plain")]
    assert any("Caution: why the numbers may deceive" in text for text in plain)
    assert not any("<IPython" in text for text in plain)
    lines = table(done.run_dir)
    assert [int(line["rank"]) for line in lines] == list(range(1, len(lines) + 1)) and lines
    assert all((done.run_dir / line["cif"]).is_file() for line in lines)

    refused = papermill(
        "06_discover", "discover-both", "-r", "formula", "Na?", "-r", "system", "Na-Cl"
    )
    assert refused.code != 0 and not refused.run_dir.exists()
    assert refused.sentence.startswith("RequestError: Give a chemical system such as Li-Fe-O or")


def test_what_a_user_gets_wrong_is_one_sentence(papermill: Callable[..., Any]) -> None:
    misspelt = papermill("04_sample", "misspelt", "-r", "formulla", "SrTiO3")
    assert misspelt.code != 0 and not misspelt.run_dir.exists()
    assert misspelt.sentence.startswith(
        "RequestError: The notebook has no parameter 'formulla'. Did you mean 'formula'?"
    )
    negative = papermill("04_sample", "negative", "-p", "band_gap", "-1.0")
    assert negative.code != 0 and not negative.run_dir.exists()
    assert negative.sentence.startswith("RequestError: band_gap = -1 eV is outside")
