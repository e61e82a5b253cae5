"""A condition of one's own, taught to the shipped model, has its control in the workbench."""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from crystal_ldm.data import load_dataset
from crystal_ldm.recipe import read_recipe
from crystal_ldm.runs.requests import Requests
from crystal_ldm.training import TrainingSettings, fit
from crystal_ldm.training.experiment import build_module, load_data, load_experiment
from tests.browser.driver import Visit, copy_notebook

BENCH = ".cl-workbench"
CONTROL = f"{BENCH} .cl-side .cl-scalar:has(b:text-is('Stiffness'))"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model after a step with a further condition, in a run directory."""
    crystals = load_dataset("oqmd_icsd", progress=False)
    rows = [i for i in crystals.indices("train") if crystals.num_atoms[i] <= 4][:60]
    folder = tmp_path_factory.mktemp("own")
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "stiffness", "cif"])
        for number, i in enumerate(rows):
            text = crystals.structure(i).to(fmt="cif")
            writer.writerow([crystals.ids[i], 100 + 2 * number, text])
    config = load_experiment(
        "finetune",
        ["ldm_module.optimizer.max_steps=1", "training.log_every=1"],
        seed=0,
        dataset=folder / "table.csv",
        conditions={"stiffness": "GPa"},
    )
    stop = threading.Event()
    module = build_module(config["ldm_module"], "ldm_module", init_from="oqmd_icsd")
    settings = TrainingSettings(**config["training"])
    fit(module, load_data(config), folder / "run", settings, stop=stop,
        live=lambda _: stop.set(), progress=False)  # fmt: skip
    return folder / "run"


def test_an_own_condition_has_its_control_and_is_asked_for(
    browser: Browser, visit: Callable[..., Visit], model: Path, tmp_path: Path
) -> None:
    shown = visit(browser, width=1440, height=1500)
    run_dir = str(tmp_path / "run")
    shown.open(copy_notebook("04_sample", num_samples=2, run_dir=run_dir, ldm_ckpt=str(model)))
    shown.run_all()
    page = shown.page
    page.wait_for_selector(f"{BENCH} .cl-gallery .cl-ngl[data-ticket]", timeout=120_000)
    control = page.locator(CONTROL)
    expect(control).to_contain_text("GPa")
    control.locator("button:has-text('Value')").click()
    box = control.locator(".cl-count input").first
    expect(box).to_be_visible()
    assert 100 <= float(box.input_value()) <= 218
    box.fill("120.5")
    page.keyboard.press("Tab")
    expect(box).to_have_value("120.5")
    page.fill(f"{BENCH} .cl-side .cl-samples input", "2")
    page.keyboard.press("Tab")
    page.click(f"{BENCH} .cl-side .cl-generate")
    rows = page.locator(f"{BENCH} .cl-gallery .cl-table tbody tr[data-index]")
    expect(rows).to_have_count(4, timeout=60_000)
    shown.shot("own_condition", BENCH)
    (request,) = Requests(run_dir).requests()
    recipe = read_recipe(request.run_dir / "recipe.json")
    assert recipe["request"]["conditions"] == {"stiffness": [120.5]}
