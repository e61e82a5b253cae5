"""Time limit and Stop hold for all of a call; what does not fit is done by the next one."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pymatgen.core import Lattice, Structure

from crystal_ldm.data import CrystalDataset, load_dataset
from crystal_ldm.errors import DataError
from crystal_ldm.training import fit, read_metrics
from crystal_ldm.training.experiment import build_module, load_data, load_experiment
from tests.training.conftest import SETTINGS, small_ldm

COUNT = 40


def step_of(run: Path) -> int:
    return int(torch.load(run / "last.ckpt", weights_only=True)["global_step"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rock salts, each of them twice, in a folder; the cache is empty."""
    monkeypatch.setenv("CRYSTAL_LDM_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "salts"
    data.mkdir()
    for i in range(COUNT):
        anion = ["F", "Cl", "Br", "I"][i % 4]
        lattice = Lattice.cubic(5 + 0.03 * i)
        salt = Structure.from_spacegroup("Fm-3m", lattice, ["Na", anion], [[0] * 3, [0.5] * 3])
        salt.to(str(data / f"{i:02d}.cif"))
    return data


class AfterAsking(threading.Event):
    """An event that is set from the time on when it was asked for `times` times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.asked = itertools.count(1)
        self.times = times

    def is_set(self) -> bool:
        return next(self.asked) > self.times


def test_reading_heeds_stop_and_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load_dataset(folder, cache_dir=folder.parent / "other", progress=False, workers=1)
    prepared = count_preparations(monkeypatch)
    for times in (12, 9):
        with pytest.raises(DataError, match=r"run it again to go on from there"):
            load_dataset(folder, progress=False, workers=1, over=AfterAsking(times).is_set)
    assert len(prepared) == 23  # the one after which the answer is yes is kept, too
    parts = load_dataset(folder, progress=False, workers=1)
    assert len(prepared) == COUNT
    assert parts.content_hash == whole.content_hash and str(parts.report) == str(whole.report)
    assert not list((folder.parent / "cache").rglob("*.unfinished"))


def count_preparations(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return a list that grows with each crystal that is prepared in this process."""
    from crystal_ldm.data import cleaning as module

    prepared: list[object] = []
    prepare = module.prepare

    def counted(payload: object, filters: object) -> object:
        prepared.append(payload)
        return prepare(payload, filters)

    monkeypatch.setattr(module, "prepare", counted)
    return prepared


def test_an_interrupt_of_the_reading_keeps_what_is_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = count_preparations(monkeypatch)

    def interrupted() -> bool:
        if len(prepared) == 17:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        load_dataset(folder, progress=False, workers=1, over=interrupted)
    prepared.append("the interrupt comes once")
    assert len(load_dataset(folder, progress=False, workers=1)) == COUNT
    assert len(prepared) == COUNT + 1


def test_a_damaged_rest_is_prepared_again(folder: Path) -> None:
    with pytest.raises(DataError, match="12 of 40"):
        load_dataset(folder, progress=False, workers=1, over=AfterAsking(11).is_set)
    (rest,) = (folder.parent / "cache").rglob("*.unfinished")
    lines = rest.read_text().splitlines()
    assert [json.loads(line)[0] for line in lines] == list(range(12))
    rest.write_text("\n".join([*lines[:5], lines[5][:40], "[]"]))
    whole = load_dataset(folder, cache_dir=folder.parent / "other", progress=False, workers=1)
    parts = load_dataset(folder, progress=False, workers=1)
    assert parts.content_hash == whole.content_hash


@pytest.mark.parametrize("limit", [{"stop": AfterAsking(5)}, {"max_minutes": 0}])
def test_training_ends_in_the_middle_of_reading(folder: Path, limit: dict) -> None:
    config = load_experiment("vae", dataset=folder)
    with pytest.raises(DataError, match=r"stopped or its time \(max_minutes\) is over"):
        load_data(config, **limit)


def test_a_match_validation_without_time_is_made_by_the_next_call(
    trained_vae: Path, dataset: CrystalDataset, tmp_path: Path
) -> None:
    """Stopped while it generates, it is made up for; the end is that of a whole run."""
    config = small_ldm(max_steps=8)
    del config["composition_model"]
    settings = replace(SETTINGS, choose_by="match", match_every=4, match_crystals=6)

    def run(name: str, *stops: threading.Event | None) -> list[tuple[int, float]]:
        for stop in stops:
            ldm = build_module(config, "ldm_module", vae_ckpt=trained_vae)
            fit(ldm, dataset, tmp_path / name, settings, stop=stop)
        lines = read_metrics(tmp_path / name / "metrics.jsonl")
        return [(int(m["step"]), m["val_match"]) for m in lines if "val_match" in m]

    whole = run("whole", None)
    assert [step for step, _ in whole] == [4, 8]
    # Three steps ask once each; the next questions come from within the generation.
    assert run("parts", AfterAsking(3 + 2)) == []
    assert step_of(tmp_path / "parts") == 4
    assert run("parts", AfterAsking(0)) == []  # no time for it at the start either
    assert step_of(tmp_path / "parts") == 5
    parts = run("parts", None)
    assert [step for step, _ in parts] == [5, 8]  # it is that of the weights of by now
    assert parts[-1] == whole[-1]
    best = torch.load(tmp_path / "parts" / "best.ckpt", weights_only=True)
    assert best["global_step"] in (5, 8)


def test_stop_in_the_last_validation_leaves_it_to_the_next_call(
    trained_vae: Path, dataset: CrystalDataset, tmp_path: Path
) -> None:
    config = small_ldm(max_steps=4)
    del config["composition_model"]
    settings = replace(SETTINGS, choose_by="match", match_every=4, match_crystals=6)
    steps: Sequence[threading.Event | None] = (AfterAsking(3 + 2), None)
    for stop in steps:
        ldm = build_module(config, "ldm_module", vae_ckpt=trained_vae)
        fit(ldm, dataset, tmp_path / "run", settings, stop=stop)
        lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
        assert any("val_match" in line for line in lines) == (stop is None)
    assert (tmp_path / "run" / "best.ckpt").is_file()
