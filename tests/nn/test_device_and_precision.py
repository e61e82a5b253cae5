"""What `auto` means on each kind of machine."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Callable, Iterator

import pytest
import torch

from crystal_ldm import load_pretrained
from crystal_ldm.errors import ConfigError, RequestError
from crystal_ldm.nn import device_and_precision as detection
from crystal_ldm.nn.device_and_precision import (
    available_devices,
    resolve_device,
    resolve_precision,
    sampling_precision,
)
from crystal_ldm.training import TrainingSettings
from crystal_ldm.training.lightning import training_device, training_precision

CACHED = (detection._cpu_bfloat16_speedup, detection._note_mps, detection._note_slow)


@pytest.fixture(autouse=True)
def detected_afresh() -> Iterator[None]:
    """What is detected once a process is detected once a test here."""
    for function in CACHED:
        function.cache_clear()
    with warnings.catch_warnings():
        yield
    for function in CACHED:
        function.cache_clear()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace each answer of the detection."""

    def describe(
        cuda: int = 0,
        capability: tuple[int, int] = (8, 0),
        mps: bool = False,
        speedup: float = 0.04,
    ) -> None:
        monkeypatch.setattr(detection, "_cuda_devices", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(detection, "_cpu_bfloat16_speedup", lambda: speedup)

    return describe


@pytest.mark.parametrize(
    ("hardware", "device", "names"),
    [
        ({}, "cpu", ["cpu"]),
        ({"mps": True}, "mps", ["mps", "cpu"]),
        ({"cuda": 1}, "cuda", ["cuda", "cpu"]),
        ({"cuda": 2, "mps": True}, "cuda:0", ["cuda:0", "cuda:1", "mps", "cpu"]),
    ],
)
@pytest.mark.filterwarnings("ignore:The model runs on MPS")
def test_auto_takes_cuda_then_mps_then_the_cpu(
    machine: Callable[..., None], hardware: dict, device: str, names: list[str]
) -> None:
    machine(**hardware)
    assert str(resolve_device("auto")) == str(resolve_device()) == device
    assert available_devices() == names
    for name in names:
        assert str(resolve_device(name)) == str(resolve_device(torch.device(name))) == name
    kind = torch.device(device).type
    assert training_device() == kind
    if kind != "cpu":
        assert training_device("gpu") == kind
    assert training_device("cpu") == "cpu"
    assert training_device("tpu") == "tpu"  # Lightning's business


@pytest.mark.parametrize(
    ("hardware", "device", "precision"),
    [
        ({"speedup": 0.04}, "cpu", "float32"),
        ({"speedup": 2.0}, "cpu", "bfloat16"),
        ({"speedup": 1.1}, "cpu", "float32"),
        ({"cuda": 1, "capability": (7, 5)}, "cuda", "float32"),
        ({"cuda": 1, "capability": (8, 0)}, "cuda", "bfloat16"),
        ({"cuda": 1, "capability": (9, 0)}, "cuda:0", "bfloat16"),
        ({"mps": True, "speedup": 2.0}, "mps", "float32"),
    ],
)
def test_auto_takes_bfloat16_where_it_is_faster_and_sampling_stays_in_float32(
    machine: Callable[..., None], hardware: dict, device: str, precision: str
) -> None:
    machine(**hardware)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a default says nothing
        assert resolve_precision("auto", device) == precision
        assert resolve_precision("float32", device) == "float32"
        assert sampling_precision("auto", device) == "float32"
        assert sampling_precision("float32", torch.device(device)) == "float32"
    lightning = {"float32": "32-true", "bfloat16": "bf16-mixed"}
    kind = torch.device(device).type
    assert training_precision("auto", kind) == lightning[precision]
    assert training_precision("float32", kind) == training_precision("32-true", kind) == "32-true"


@pytest.mark.parametrize(
    ("hardware", "device", "what"),
    [
        ({"speedup": 0.7}, "cpu", "CPU"),
        ({"cuda": 1, "capability": (7, 0)}, "cuda", "GPU"),
    ],
)
def test_a_bfloat16_that_will_be_slow_is_used_and_said_once(
    machine: Callable[..., None], hardware: dict, device: str, what: str
) -> None:
    machine(**hardware)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert resolve_precision("bfloat16", device) == "bfloat16"
        assert sampling_precision("bfloat16", device) == "bfloat16"
        assert training_precision("bfloat16", device) == "bf16-mixed"
    assert [str(w.message) for w in said] == [
        f"This machine's {what} has no fast bfloat16, so that precision bfloat16 will be slow: "
        "use float32 or auto."
    ]


def test_a_bfloat16_that_is_fast_is_used_without_a_word(machine: Callable[..., None]) -> None:
    machine(speedup=4.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_precision("bfloat16") == "bfloat16"
        for name in ("bfloat16", "bf16-mixed"):
            assert training_precision(name, "cpu") == "bf16-mixed"


@pytest.mark.parametrize(
    ("falls_back", "end"),
    [
        ("1", "what MPS lacks is computed on the CPU."),
        ("", "for what MPS lacks to be computed on the CPU, import crystal_ldm before torch."),
    ],
)
def test_what_mps_lacks_is_said_once(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch, falls_back: str, end: str
) -> None:
    machine(mps=True)
    monkeypatch.setenv("PYTORCH_ENABLE_MPS_FALLBACK", falls_back)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(2):
            assert resolve_device("auto").type == resolve_device("mps").type == "mps"
    assert [str(w.message) for w in said] == [f"The model runs on MPS in float32; {end}"]
    with pytest.raises(RequestError, match="Models run in float32 on MPS: use"):
        resolve_precision("bfloat16", "mps")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("cdua", r"There is no device 'cdua'\. Did you mean 'cuda'\? This machine has auto, cuda,"),
        ("xpu", r"There is no device 'xpu'\. .*This machine has auto, cuda, cpu\."),
        ("", r"There is no device ''\. This machine has"),
        ("mps", r"There is no device 'mps'\..* This machine has auto, cuda, cpu\."),
        ("cuda:1", r"There is no device 'cuda:1'\. Did you mean 'cuda'\?"),
    ],
)
def test_an_unknown_or_missing_device_is_one_sentence(
    machine: Callable[..., None], name: str, sentence: str
) -> None:
    machine(cuda=1)
    with pytest.raises(RequestError, match=sentence):
        resolve_device(name)
    with pytest.raises(RequestError, match=sentence):
        load_pretrained(device=name)


def test_an_unknown_precision_is_one_sentence() -> None:
    for function in (resolve_precision, sampling_precision):
        with pytest.raises(RequestError, match=r"not 'bfloat'\. Did you mean 'bfloat16'\?"):
            function("bfloat")
    with pytest.raises(ConfigError, match=r"training.precision should be one of .*'bf-16'"):
        TrainingSettings(precision="bf-16")


def test_this_machine_is_detected_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real detection runs, and decides for the rest of the process."""
    first = resolve_precision("auto", "cpu")
    monkeypatch.setattr(detection, "_product_speedup", lambda *_, **__: 1 / 0)
    assert resolve_precision("auto", "cpu") == first


def test_kernels_without_bfloat16_make_it_float32(
    python: Callable[..., subprocess.Popen[str]],
) -> None:
    """oneDNN can be told to leave newer instructions alone, whatever the CPU has."""
    code = (
        "from crystal_ldm.nn.device_and_precision import resolve_precision\n"
        "print(resolve_precision('auto'))"
    )
    output, errors = python(code, ONEDNN_MAX_CPU_ISA="AVX2").communicate(timeout=120)
    assert output.strip() == "float32", errors
