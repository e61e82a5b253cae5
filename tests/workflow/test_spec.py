from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystal_ldm.config.yaml_data import parse_yaml
from crystal_ldm.errors import ConfigError, CrystalLDMError
from crystal_ldm.workflow.spec import read_sweep

CHAIN: dict[str, Any] = {
    "run_dir": "runs/chain",
    "steps": [
        {"notebook": "train", "parameters": {"experiment": "perov_5/ldm"}},
        {"notebook": "sample", "parameters": {"ckpt": "${train}/model.safetensors"}},
    ],
    "grid": {"cfg_scale": [1, 2], "sample.seed": [0, 1, 2]},
}


@pytest.fixture(autouse=True)
def notebooks(make_notebook: Any) -> None:
    make_notebook("train", "experiment = ''\nseed = 0\nrun_dir = ''")
    make_notebook("sample", "ckpt = ''\ncfg_scale = 2.0\nformula = ''\nseed = 0\nrun_dir = ''")


def test_a_grid_after_a_chain_trains_once(clone: Path) -> None:
    sweep = read_sweep(CHAIN)
    train, *samples = sweep.jobs
    assert len(samples) == 6 and all(job.needs == (train.name,) for job in samples)
    assert samples[0].parameters == {
        "ckpt": f"{clone}/runs/chain/{train.name}/model.safetensors",
        "cfg_scale": 1,
        "seed": 0,
        "run_dir": f"{clone}/runs/chain/{samples[0].name}",
    }
    assert samples[0].name.startswith("sample-cfg_scale_1-seed_0-")


def test_names_follow_from_what_a_job_depends_on(clone: Path) -> None:
    names = {job.name for job in read_sweep(CHAIN).jobs}
    more = {**CHAIN, "run_dir": "runs/elsewhere", "grid": {**CHAIN["grid"], "cfg_scale": [1, 2, 3]}}
    assert names < {job.name for job in read_sweep(more).jobs}
    other = {**CHAIN, "steps": [{"notebook": "train"}, CHAIN["steps"][1]]}
    assert not names & {job.name for job in read_sweep(other).jobs}


def test_any_path_works_unquoted(clone: Path) -> None:
    paths = ["007", "1_0", "2024", "1.50", "1e5", "/my data/(x), [1] = ü.csv", "~/a#b", "NO", "-3"]
    lines = ["run_dir: 2024", "steps:", "  - notebook: train", "    parameters: {seed: 012}"]
    lines += ["  - notebook: sample", "    parameters:", "      formula: 1.0", "grid:", "  ckpt:"]
    (clone / "s.yaml").write_text("\n".join([*lines, *(f"    - {path}" for path in paths)]))
    sweep = read_sweep(clone / "s.yaml")
    train, *samples = sweep.jobs
    assert sweep.directory == clone / "2024" and train.parameters["seed"] == 12
    assert [job.parameters["ckpt"] for job in samples] == paths
    assert samples[0].parameters["formula"] == "1.0"


def test_yaml_means_what_a_person_sees() -> None:
    text = "a: [NO, No, On, y, InF, 1e-4, 012, 1_0, -2.5, true, null, ~, 2024-01-01]"
    words = ["NO", "No", "On", "y", "InF", 1e-4, 12, "1_0", -2.5, True, None, None, "2024-01-01"]
    assert parse_yaml(text) == {"a": words}


@pytest.mark.parametrize(
    "text",
    [
        "a: .inf",
        "a: .nan",
        "a: &x 1\nb: *x",
        "a: 1\na: 2",
        "1: 2",
        "a: !!python/object:os.x",
        "a: [",
        "a: !!set {b}",
        "{[a]: 1}",
        "\x00",
    ],
)
def test_yaml_that_is_not_plain_data_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="the text"):
        parse_yaml(text)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"notebok": "sample"}, r"no key 'notebok'. Did you mean 'notebook'"),
    ({}, "either 'notebook' or 'steps'"),
    ({"notebook": "smaple"}, "Did you mean 'sample'"),
    ({"notebook": "sample", "parameters": {"formul": "x"}}, "Did you mean 'formula'"),
    ({"notebook": "sample", "parameters": {"run_dir": "x"}}, "chosen by the sweep"),
    ({"notebook": "sample", "grid": {"cfg": [1]}}, "no parameter 'cfg'"),
    ({"notebook": "sample", "grid": {"cfg_scale": 1}}, "should be a list of values"),
    ({"notebook": "sample", "grid": {"cfg_scale": []}}, "should be a list of values"),
    ({"notebook": "sample", "workers": 0}, "workers must be a whole number of at least 1, not 0"),
    ({"notebook": "sample", "workers": "2"}, "must be a whole number"),
    (
        {"notebook": "sample", "timeout_minutes": -1},
        "timeout_minutes must be a number above 0 or None, not -1",
    ),
    ({"notebook": "sample", "grid": {"seed": list(range(101)), "cfg_scale": [0] * 100}}, "10000"),
    ({**CHAIN, "grid": {"seed": [1]}}, "train and sample all have 'seed'"),
    ({**CHAIN, "grid": {"trian.seed": [1]}}, "no step 'trian'. Did you mean 'train'"),
    ({**CHAIN, "parameters": {}}, "each step has its own"),
    ({"steps": [{"notebook": "train"}, {"notebook": "train"}]}, "used once"),
    ({"steps": [{"notebook": "train", "name": "../x"}]}, "letters, digits"),
    ({"steps": [{"name": "x"}]}, "key 'notebook' is missing"),
    ({"steps": [{"notebook": "sample", "parameters": {"ckpt": "${train}"}}]}, "comes before"),
]


@pytest.mark.parametrize(("content", "told"), WRONG)
def test_wrong_descriptions_are_one_sentence(content: dict[str, Any], told: str) -> None:
    with pytest.raises(CrystalLDMError, match=told) as caught:
        read_sweep(content)
    assert len(str(caught.value)) < 400


@given(data=st.data())
def test_any_yaml_raises_documented_errors_only(data: st.DataObject, tmp_path: Path) -> None:
    text = bytearray(
        b"notebook: sample\nparameters: {formula: NO}\ngrid: {seed: [0, 1]}\nworkers: 2\n"
    )
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 5))] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"{", b"]", b": ", b"\n  ", b"*a", b"!!x "])
        )
    file = tmp_path / "sweep.yaml"
    file.write_bytes(bytes(text))
    with contextlib.suppress(CrystalLDMError):
        assert read_sweep(file).jobs
