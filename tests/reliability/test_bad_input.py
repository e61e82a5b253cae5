"""Whatever comes in, only documented errors come out.

Sixty cases of each kind in `make test`; a thousand of each with
`python -m pytest tests --hypothesis-profile=long`.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.readers import open_source, read_payload
from crystal_ldm.data import CrystalDataset, load_dataset
from crystal_ldm.errors import CrystalLDMError
from crystal_ldm.evaluate import read_crystals
from crystal_ldm.files import open_run, read_status
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.nn.checkpoints import Checkpoint, save_safetensors
from crystal_ldm.recipe import from_recipe
from crystal_ldm.runs.crystal_files import CrystalFiles
from crystal_ldm.runs.generate import generate, make_request
from crystal_ldm.runs.request_file import run_request
from crystal_ldm.training import read_metrics
from crystal_ldm.workflow import parameters as given_as
from crystal_ldm.workflow.declared_parameters import notebook_parameters
from crystal_ldm.workflow.execution import job_status

# Numbers stay small: a request for a million crystals is no bad input, it only takes long.
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 50)
    | st.floats(allow_nan=True)
    | st.text(max_size=12)
    | st.sampled_from(["NaCl", "Na?", "Sr", "ddim", "float32", "auto", "[1, 2]", "inf", "1e400"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=8) | st.just("band_gap"), inner, max_size=2)
    ),
    max_leaves=5,
)
TOKENS = [
    b"", b"\n", b"\r", b"\x00", b"\xff", b"\xf0\x9f\x92\xa5", b" ", b"'", b'"', b",", b";", b":",
    b"{", b"}", b"[", b"]", b"-", b"nan", b"inf", b"1e400", b"-1", b"0", b"null", b"true", b"_",
    b"loop_\n", b"data_\n", b"#", b"?", b".", b"<script>", b"../..", b"$(x)", b"!!python/name:os ",
]  # fmt: skip


@contextlib.contextmanager
def only_documented_errors() -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except CrystalLDMError as error:
        text = str(error)
        assert text and "Traceback" not in text and len(text) < 2000


@st.composite
def damaged(draw: st.DrawFn, originals: Callable[[], list[bytes]]) -> bytes:
    """A real file with a few bytes replaced, repeated, inserted or cut off."""
    content = bytearray(draw(st.sampled_from(originals())))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        length = draw(st.integers(0, 12))
        new = draw(st.sampled_from(TOKENS) | st.binary(max_size=4))
        if draw(st.booleans()):
            new = bytes(content[at : at + length]) * 2 + new
        content[at : at + length] = new
    if draw(st.integers(0, 4)) == 0:
        del content[draw(st.integers(0, len(content))) :]
    return bytes(content)


@st.composite
def changed(draw: st.DrawFn, original: Callable[[], Any]) -> Any:
    """Plain data with some of its values replaced, left out or misspelt."""

    def change(value: Any) -> Any:
        if draw(st.integers(0, 11)) == 0:
            return draw(VALUES)
        if isinstance(value, dict):
            kept = {k: v for k, v in value.items() if draw(st.integers(0, 19))}
            return {k if draw(st.integers(0, 19)) else f"{k}x": change(v) for k, v in kept.items()}
        if isinstance(value, list):
            return [change(item) for item in value]
        return value

    return change(original())


# --- requests ---

FORMULAS = st.text(max_size=12) | st.lists(
    st.sampled_from(["Sr", "Ti", "O", "Cl", "Uue", "?", "2", "3.5", "0", "(", ")", "[", "]", "-",
                     " ", "·", "H2O", "+", "1e9", "99999999999", "₂", "Ｎａ"]), max_size=8,
).map("".join)  # fmt: skip


@given(FORMULAS | VALUES, VALUES, VALUES, VALUES)
def test_formulas(formula: Any, units: Any, gap: Any, elements: Any) -> None:
    with only_documented_errors():
        batch = CrystalBatch.from_formulas(
            given_as.as_words(formula, "formula"),
            given_as.as_value(units, "formula_units"),
            band_gap=gap,
            forbidden=given_as.as_words(elements, "forbidden"),
        )
        assert bool((batch.num_atoms >= 1).all())  # no formula: no row
        assert CrystalBatch.from_request(batch.to_request()).formulas == batch.formulas


REQUESTS: dict[str, Any] = {
    "formula": "NaCl", "formula_units": 1, "num_atoms": None, "conditions": {"band_gap": 1.0},
    "required": [], "allowed": [], "forbidden": [],
}  # fmt: skip
OPTIONS: dict[str, Any] = {
    "sampler": "ddim", "sampling_steps": 3, "eta": 0.0, "cfg_scale": {"band_gap": 2.0},
    "cfg_interval": [0.0, 1.0], "temperature": 1.0, "seed": 0, "batch_size": "auto",
    "precision": "float32", "offset": 0, "trajectory": False, "attempts": 2, "device": "cpu",
    "preset": "explore", "elements": {"temperature": 1.0, "new_formula": False},
    "start": {"prototype": {"strength": 0.3, "share": 1.0, "count": 8}}, "compile": False,
    "filters": [{"name": "min_distance", "limit": 0.5}, {"band_gap_within": 0.3}],
}  # fmt: skip


@given(changed(lambda: REQUESTS), changed(lambda: OPTIONS), st.integers(1, 2) | VALUES)
def test_parameters_of_a_request(tiny_ldm: LDMModule, request_: Any, how: Any, count: Any) -> None:
    """What the notebook does with its parameters."""
    with only_documented_errors():
        if isinstance(request_, dict) and isinstance(how, dict):
            values = {n: request_.get(n, v) for n, v in REQUESTS.items()}
            targets = given_as.as_mapping(values["conditions"], "conditions")
            request = make_request(
                given_as.as_words(values["formula"], "formula"),
                given_as.as_value(values["formula_units"], "formula_units"),
                given_as.as_value(values["num_atoms"], "num_atoms"),
                {n: tuple(v) if isinstance(v, list) else v for n, v in targets.items()},
                *(given_as.as_words(values[n], n) for n in ("required", "allowed", "forbidden")),
            )
            tiny_ldm.iter_sample(request, count, **{str(n): v for n, v in how.items()})
            assert isinstance(count, int) and count >= 1


# --- files of crystals ---


@functools.cache
def real_crystals() -> list[tuple[str, str]]:
    """(formula, CIF) of crystals of the ICSD, as the default data set holds them."""
    from pymatgen.core import Structure

    from crystal_ldm.data.oqmd import oqmd_database, read_oqmd

    found = []
    for entry in read_oqmd(oqmd_database(), limit=60).entries[::3]:
        cell = read_payload(entry.payload)[0].checked()
        structure = Structure(cell.lattice, cell.numbers.tolist(), cell.frac_coords)
        found.append((structure.reduced_formula, str(structure.to(fmt="cif"))))
    return found


def cifs() -> list[bytes]:
    return [cif.encode() for _, cif in real_crystals()]


def tables() -> list[bytes]:
    import csv

    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["material_id", "band_gap", "cif"])
    writer.writerows([name, 1.5, cif] for name, cif in real_crystals()[:3])
    return [buffer.getvalue().encode(), buffer.getvalue().replace("\r\n", ";\n").encode()]


@given(damaged(cifs))
def test_cifs(content: bytes) -> None:
    with only_documented_errors():
        cell = read_payload(content.decode("utf-8", errors="replace"))[0].checked()
        assert len(cell.numbers) == len(cell.frac_coords) > 0


@given(damaged(cifs), st.sampled_from(["a.cif", "POSCAR", "a.extxyz", "a.json", "a.csv", "a.vasp"]))
def test_files_to_evaluate(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with only_documented_errors():
        found = read_crystals(tmp_path / name)
        assert len(found.crystals) == len(found.errors) > 0


@given(damaged(tables))
def test_tables_of_crystals(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "crystals.csv").write_bytes(content)
    entries = []
    with only_documented_errors():
        entries = open_source(tmp_path / "crystals.csv").read().entries
    for entry in entries:
        with only_documented_errors():
            assert len(read_payload(entry.payload)[0]) >= 1
    with only_documented_errors():
        read_crystals(tmp_path / "crystals.csv")


@pytest.fixture(scope="module")
def finished_run(tiny_ldm: LDMModule, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    generate(tiny_ldm, CrystalBatch.from_formulas(["NaCl"]), folder, 3, progress=False)
    return folder


@given(data=st.data(), name=st.sampled_from(["table.csv", "crystals.extxyz"]))
def test_tables_of_a_run(
    tmp_path: Path, finished_run: Path, data: st.DataObject, name: str
) -> None:
    """A damaged table is refused, or what it still tells is used; the CIFs stay."""
    run = tmp_path / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(finished_run, run)
    (run / name).write_bytes(data.draw(damaged(lambda: [(finished_run / name).read_bytes()])))
    with only_documented_errors():
        read_crystals(run)
    with only_documented_errors():
        assert len(CrystalFiles(run, {}).done) <= 3
    assert len(list(run.glob("cif/*.cif"))) == 3


# --- recipes, YAML, notebooks, records of runs ---


def a_recipe(ldm: LDMModule) -> dict[str, Any]:
    request = CrystalBatch.from_formulas(["NaCl", "Na?"], band_gap=[1.0, None])
    options = {"sampling_steps": 1, "cfg_scale": {"band_gap": 1.5}}
    made = next(ldm.iter_sample(request, 2, **options))
    return {**made.recipe, "row": 1, "number": 1}


@given(data=st.data())
def test_recipes(tiny_ldm: LDMModule, data: st.DataObject) -> None:
    recipe = data.draw(changed(lambda: a_recipe(tiny_ldm)))
    with only_documented_errors():
        made = from_recipe(json.dumps(recipe).encode(), ldm=tiny_ldm)
        assert len(made) >= 1


REQUEST_YAML = b"""ldm_ckpt: none.safetensors
formula: [NaCl, "Na?"]
conditions: {band_gap: [1, 3]}
forbidden: [Sr]
num_samples: 2
sampling: {sampling_steps: 2, seed: 3, cfg_scale: {band_gap: 1.5}}
piece_size: 2
"""


@given(damaged(lambda: [REQUEST_YAML]))
def test_request_files(clone: Path, content: bytes) -> None:
    file = clone / "many.yaml"
    file.write_bytes(content)
    with only_documented_errors():
        assert run_request(file, progress=False).is_dir()


@given(data=st.data())
def test_records_of_runs(tmp_path: Path, data: st.DataObject) -> None:
    run = tmp_path / "run"
    shutil.rmtree(run, ignore_errors=True)
    open_run(run, "04_sample", {"formula": "NaCl", "seed": 0}).finish()
    for name in ("run.json", "status.json"):
        original = (run / name).read_bytes()
        (run / name).write_bytes(data.draw(damaged(lambda original=original: [original])))
    (run / "job.status.json").write_bytes(data.draw(st.binary(max_size=20)))
    with only_documented_errors():
        open_run(run, "04_sample", {"formula": "NaCl", "seed": 0}).close()
    with only_documented_errors():
        assert isinstance(read_status(run), dict)
    with only_documented_errors():
        assert job_status(run)["state"]


METRICS = b'{"step": 5, "loss": 1.5}\n{"step": 10, "loss": 1.25, "val_loss": 2.0}\n'


@given(damaged(lambda: [METRICS]))
def test_metrics_of_a_training(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(content)
    with only_documented_errors():
        assert all(
            isinstance(line["step"], int) for line in read_metrics(tmp_path / "metrics.jsonl")
        )


@given(data=st.data())
def test_notebooks(repository: Path, tmp_path: Path, data: st.DataObject) -> None:
    original = (repository / "notebooks" / "04_sample.ipynb").read_bytes()
    file = tmp_path / "a.ipynb"
    file.write_bytes(data.draw(damaged(lambda: [original[:3000] + original[-400:], original])))
    with only_documented_errors():
        assert all(one.name.isidentifier() for one in notebook_parameters(file))


# --- models and caches ---


@pytest.fixture(scope="module")
def model_bytes(tiny_ldm: LDMModule, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_safetensors(tiny_ldm, path)
    return path.read_bytes()


@given(data=st.data())
def test_models(tmp_path: Path, model_bytes: bytes, data: st.DataObject) -> None:
    """Damage in the header, which decides what is read and what is built."""
    header = 8 + int.from_bytes(model_bytes[:8], "little")
    damaged_header = data.draw(damaged(lambda: [model_bytes[:header], model_bytes[:8]]))
    (tmp_path / "m.safetensors").write_bytes(damaged_header + model_bytes[header:])
    with only_documented_errors():
        checkpoint = Checkpoint.read(tmp_path / "m.safetensors")
        assert {"kind", "config"} <= set(checkpoint.metadata)


@given(data=st.data())
def test_configurations_inside_models(
    tmp_path: Path, tiny_ldm: LDMModule, data: st.DataObject
) -> None:
    from safetensors.torch import save_file

    metadata = {"kind": "ldm", "config": tiny_ldm.config, "data_info": tiny_ldm.data_info}
    text = json.dumps(data.draw(changed(lambda: metadata)))
    state = {name: tensor.contiguous() for name, tensor in tiny_ldm.export_state().items()}
    save_file(state, tmp_path / "m.safetensors", {"crystal_ldm": text})
    with only_documented_errors():
        assert LDMModule.load_from_checkpoint(tmp_path / "m.safetensors").elements


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cached")
    (folder / "crystals.csv").write_bytes(tables()[0])
    data = load_dataset(folder / "crystals.csv", cache_dir=folder, progress=False, workers=1)
    return data.path


@given(data=st.data())
def test_caches(tmp_path: Path, cached: Path, data: st.DataObject) -> None:
    file = tmp_path / cached.name
    file.write_bytes(data.draw(damaged(lambda: [cached.read_bytes()])))
    with only_documented_errors():
        assert len(CrystalDataset.open(file)) >= 1
