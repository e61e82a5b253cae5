"""Run All on the other four notebooks, with a few crystals and some seconds of training."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.driver import MODEL, Visit, copy_notebook
from tests.widgets.crystals import perovskite

TINY = ["data.max_atoms=6", "training.precision=32-true"]
SIZES = ("hidden_size=32", "depth=1", "num_heads=4")
FOREVER = 5.0
"""Minutes; the trainings of these tests are ended by their Stop button."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def crystals(folder: Path) -> Path:
    """Perovskites in the public csv layout: each element in enough formulas to be learned."""
    path = folder / "perovskites.csv"
    triples = itertools.product(
        ("Ca", "Sr", "Ba", "Pb", "Na"), ("Ti", "Zr", "Hf", "Sn", "Nb"), ("O", "S", "F")
    )
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "band_gap", "cif"])
        for i, elements in enumerate(triples):
            cif = perovskite(3.8 + 0.01 * i, elements).to(fmt="cif")
            writer.writerow([f"made-{i}", 0.05 * i, cif])
    return path


@pytest.fixture
def page(browser: Browser, visit: Callable[..., Visit]) -> Iterator[Visit]:
    shown = visit(browser, width=1280, height=1400)
    yield shown
    shown.page.goto("about:blank")  # frees the kernel's page; WebGL contexts are few


def finish(shown: Visit, selector: str) -> None:
    """Bring the part that the test looks at into view and wait for its drawing."""
    shown.page.wait_for_selector(selector, timeout=90_000)
    shown.page.locator(selector).first.scroll_into_view_if_needed()
    shown.page.wait_for_timeout(1500)


def test_01_data_has_a_gallery(page: Visit, folder: Path, crystals: Path) -> None:
    run_dir = str(folder / "data")
    page.open(copy_notebook("01_data", dataset=str(crystals), max_atoms=6, run_dir=run_dir))
    page.run_all()
    finish(page, ".cl-gallery .cl-ngl[data-ticket]")
    expect(page.page.locator(".cl-gallery tbody tr[data-index]")).to_have_count(75)
    assert page.atoms(".cl-gallery")
    page.shot("01_data")


def test_02_vae_monitor_stops_compare_and_map(page: Visit, folder: Path, crystals: Path) -> None:
    sizes = [f"vae_module.{part}.{s}" for part in ("encoder", "decoder") for s in SIZES]
    overrides = [f"data.dataset={crystals}", *TINY, *sizes]
    run_dir = str(folder / "vae")
    page.open(copy_notebook("02_vae", overrides=overrides, max_minutes=FOREVER, run_dir=run_dir))
    page.run_all(pressing=".cl-training-monitor button:has-text('Stop and save')")
    page.shot("02_monitor", ".cl-training-monitor")
    finish(page, ".cl-latent-map .main-svg")
    page.page.wait_for_selector(".cl-compare .cl-plot .main-svg", timeout=20_000)
    page.shot("02_compare", ".cl-compare")
    expect(page.page.locator(".cl-latent-map .gl-container canvas").first).to_be_attached()
    page.shot("02_map", ".cl-two:has(.cl-latent-map)")


def test_03_ldm_trains_and_makes_crystals(page: Visit, folder: Path, crystals: Path) -> None:
    sizes = [f"ldm_module.denoiser.{size}" for size in SIZES]
    overrides = [f"data.dataset={crystals}", *TINY, *sizes]
    given = {"vae_ckpt": str(folder / "vae"), "run_dir": str(folder / "ldm")}
    page.open(copy_notebook("03_ldm", overrides=overrides, max_minutes=FOREVER, **given))
    # A crystal of the half-trained model arrives while the kernel is busy with training.
    arrived = ".cl-training-monitor:has-text(' at step ')"
    stop = f"{arrived} button:has-text('Stop and save')"
    page.run_all(pressing=stop, showing=".cl-training-monitor")
    finish(page, ".cl-training-monitor .cl-ngl[data-ticket]")
    assert page.atoms(".cl-training-monitor")
    finish(page, ".cl-gallery .cl-ngl[data-ticket]")
    expect(page.page.locator(".cl-training-monitor")).to_contain_text("of training")
    page.shot("03_monitor", ".cl-training-monitor")
    page.shot("03_gallery", ".cl-gallery")


def test_05_analysis_opens_a_run(page: Visit, folder: Path, crystals: Path) -> None:
    from crystal_ldm.pretrained import load_model
    from crystal_ldm.runs.generate import generate, make_request

    generate(load_model(MODEL), make_request("SrTiO3"), folder / "sample", 4, progress=False)
    given = {"reference": str(crystals), "judge": "", "workers": 1}
    runs, run_dir = [str(folder / "sample")], str(folder / "analysis")
    page.open(copy_notebook("05_analysis", runs=runs, run_dir=run_dir, **given))
    page.run_all(180)
    finish(page, ".cl-gallery .cl-ngl[data-ticket]")
    expect(page.page.locator(".cl-gallery tbody tr[data-index]")).to_have_count(4)
    expect(page.page.locator(".cl-gallery thead")).to_contain_text("New")
    page.shot("05_gallery", ".cl-gallery")
