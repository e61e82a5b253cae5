"""Whatever is given as an argument, or stands in a model's weights, only documented errors come."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.data import load_dataset
from crystal_ldm.evaluate import evaluate
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.nn.checkpoints import save_safetensors
from crystal_ldm.pretrained import load_model
from crystal_ldm.sampling import Crystal, Elements, Noise, Prototype, options
from tests.reliability.test_bad_input import VALUES, only_documented_errors

OBJECTS = VALUES | st.sampled_from(
    [object(), int, b"NaCl", {1, 2}, range(3), np.zeros(3), np.float32(2), torch.tensor([1.5]),
     Path("x"), lambda: 1, Noise(), Elements(), "x" * 5000, math.inf, 10**30, -1, Prototype]
)  # fmt: skip
KEYWORDS = st.sampled_from(sorted({one.keyword for one in options()} | {"offset"}))


@given(OBJECTS, OBJECTS, st.dictionaries(KEYWORDS, OBJECTS, max_size=3))
def test_sample(tiny_ldm: LDMModule, batch: Any, number: Any, keywords: dict[str, Any]) -> None:
    with only_documented_errors():
        tiny_ldm.iter_sample(batch, number, **keywords)


@given(OBJECTS, OBJECTS, OBJECTS)
def test_variations(tiny_ldm: LDMModule, crystals: Any, strength: Any, number: Any) -> None:
    with only_documented_errors():
        tiny_ldm.sample(crystals, number, start=Crystal(strength))


@given(st.booleans(), OBJECTS, OBJECTS, OBJECTS)
def test_paths_between(
    tiny_ldm: LDMModule, known_batch: CrystalBatch, real: bool, first: Any, last: Any, steps: Any
) -> None:
    ends = (known_batch[[0]], known_batch[[0]]) if real else (first, last)
    with only_documented_errors():
        tiny_ldm.interpolate(*ends, steps if not isinstance(steps, int) else min(steps, 20))


@given(OBJECTS)
def test_structures(source: Any) -> None:
    with only_documented_errors():
        CrystalBatch.from_structures(source)


@given(OBJECTS)
def test_rows(known_batch: CrystalBatch, index: Any) -> None:
    try:
        with only_documented_errors():
            assert len(known_batch[index]) >= 0
    except IndexError as error:  # a row that is not there, as of a list
        assert str(error)


@given(OBJECTS, OBJECTS)
def test_numbers_of_atoms(number: Any, gap: Any) -> None:
    with only_documented_errors():
        batch = CrystalBatch.from_num_atoms(number, band_gap=gap)
        assert bool((batch.num_atoms >= 1).all())


@given(st.text(max_size=20) | st.sampled_from(["", "x" * 5000, "\x00", "~nobody/x", "a/" * 3000]))
def test_paths(name: str) -> None:
    for read in (load_model, load_dataset, evaluate):
        with only_documented_errors():
            if name.strip() and not Path(name[:50]).exists():
                read(name)


@given(st.text(max_size=8) | st.sampled_from(["cuda:99", "mps", "meta", "cpu:x", "xla"]))
def test_devices(tiny_ldm: LDMModule, name: str) -> None:
    with only_documented_errors():
        tiny_ldm.iter_sample(None, 1, device=name)


@given(data=st.data())
def test_damaged_weights_make_crystals_or_a_sentence(
    tiny_ldm: LDMModule, tmp_path: Path, data: st.DataObject
) -> None:
    """Some numbers of a model's file are changed; what can be opened is sampled."""
    file = tmp_path / "model.safetensors"
    save_safetensors(tiny_ldm, file)
    content = bytearray(file.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(header, len(content) - 64))
        new = data.draw(st.sampled_from([b"\xff" * 8, b"\x00\x7c" * 4, b"\x00" * 32]))
        content[at : at + len(new)] = new
    file.write_bytes(bytes(content))
    with only_documented_errors():
        ldm = LDMModule.load_from_checkpoint(file, device="cpu")
        request = CrystalBatch.from_formulas(["NaCl", "Na?"], band_gap=[1.0, None])
        crystals = ldm.sample(request, 1, sampling_steps=2, attempts=0).crystals
        assert bool(crystals.lattices.isfinite().all())
