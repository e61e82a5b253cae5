from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from crystal_ldm.config import TARGETS, check, config_names, instantiate, load_config
from crystal_ldm.errors import ConfigError, CrystalLDMError


@dataclass
class Optimizer:
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)


class Denoiser:
    def __init__(self, hidden_size: int, depth: int = 12, act: Literal["gelu", "silu"] = "silu"):
        self.hidden_size, self.depth, self.act = hidden_size, depth, act


class Other:
    pass


class Model:
    def __init__(
        self,
        denoiser: Denoiser,
        optimizer: Optimizer,
        conditions: dict[str, Any] | None = None,
        layers: list[int] = [1],  # noqa: B006
        scale: float | Literal["auto"] = "auto",
        ema: bool = False,
    ) -> None:
        self.__dict__.update(locals())


@dataclass
class Schema:
    model: Model
    seed: int = 0
    tags: list[str] = field(default_factory=list)


FILES = {
    "model/big": """
        _target_: Model
        denoiser: {_target_: Denoiser, hidden_size: 512}
        optimizer: {lr: 1e-4, betas: [0.9, 0.95]}
        layers: [1, 2]
    """,
    "model/small": """
        defaults: [big, _self_]
        denoiser: {hidden_size: 64, depth: 2}
    """,
    "experiment/perov_5/ldm": """
        # @package _global_
        defaults:
          - /model: big
          - _self_
        seed: 1
        model: {ema: true}
    """,
}


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for cls in (Model, Denoiser, Other):
        monkeypatch.setitem(TARGETS, cls.__name__, f"{__name__}.{cls.__name__}")
    folder = tmp_path / "configs"
    for name, content in FILES.items():
        write(folder, name, content)
    return folder


def write(folder: Path, name: str, content: str) -> None:
    import textwrap

    file = folder / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(content).lstrip("\n"))


# --- composition ---


def test_experiment_composes_and_builds(configs: Path) -> None:
    config = load_config("perov_5/ldm", config_dir=configs, schema=Schema)
    assert config == yaml.safe_load(yaml.safe_dump(config))  # plain data
    assert config["seed"] == 1
    model = instantiate(config["model"])
    assert isinstance(model, Model) and isinstance(model.optimizer, Optimizer)
    assert (model.denoiser.hidden_size, model.denoiser.depth, model.ema) == (512, 12, True)
    assert model.optimizer.lr == 1e-4 and model.optimizer.betas == (0.9, 0.95)


def test_a_group_file_stands_alone_and_inherits(configs: Path) -> None:
    config = load_config("model/small", config_dir=configs)
    assert config["denoiser"] == {"_target_": "Denoiser", "hidden_size": 64, "depth": 2}
    assert config["optimizer"]["betas"] == [0.9, 0.95]
    assert config_names(configs) == ["experiment/perov_5/ldm", "model/big", "model/small"]


def test_overrides_change_keys_and_groups(configs: Path) -> None:
    config = load_config(
        "perov_5/ldm",
        [
            "model.denoiser.act=gelu",
            "model=small",
            "model.denoiser.depth=3",
            "seed=7",
            "model.layers=[4,5]",
        ],
        config_dir=configs,
    )
    denoiser = {"_target_": "Denoiser", "hidden_size": 64, "depth": 3, "act": "gelu"}
    assert config["model"]["denoiser"] == denoiser
    assert config["seed"] == 7 and config["model"]["layers"] == [4, 5]


def test_keys_are_left_out_and_values_read_as_people_write_them(configs: Path) -> None:
    changes = ["~model.layers", "+model.conditions={a:1, b: [x, 2e-3]}", "tags=[NO, 'a b']"]
    config = load_config("perov_5/ldm", changes, config_dir=configs, schema=Schema)
    assert "layers" not in config["model"] and config["tags"] == ["NO", "a b"]
    assert config["model"]["conditions"] == {"a": 1, "b": ["x", 2e-3]}
    path = "C:\\data, [new]=1 #2"
    config = load_config("perov_5/ldm", [f"data.dataset={path}"], config_dir=configs)
    assert config["data"]["dataset"] == path


# --- errors ---

WRONG_OVERRIDES = {
    "sed=1": r"'sed'.* Did you mean 'seed'",
    "model.denoiser.dept=3": r"'model.denoiser.dept': Denoiser has no .* mean 'depth'.*Its keys",
    "model.optimizer.lrr=3": r"'model.optimizer.lrr': Optimizer has no such key.*Its keys: lr",
    "model=smal": r"no 'model/smal'.* Did you mean 'model/small'.*There are: model/big, ",
    "model.denoiser.hidden_size=big": r"'model.denoiser.hidden_size' should be a whole number",
    "model.ema=1": r"'model.ema' should be true or false and is 1",
    "model.denoiser.hidden_size=1.5": r"a whole number and is 1\.5",
    "model.scale=automatic": r"'model.scale' should be a number or 'auto'",
    "model.denoiser.act=gelo": r"one of gelu, silu and is 'gelo'. Did you mean 'gelu'",
    "model.layers=[1,x]": r"'model.layers' should be a list, each item a whole number",
    "model.optimizer.betas=[1,2,3]": r"'model.optimizer.betas' should be a list of 2",
    "model.optimizer=3": r"'model.optimizer' should be an Optimizer",
    "model.denoiser._target_=os.system": r"'os.system' is not one of the listed classes.*Denoiser",
    "model.denoiser._target_=Denoisr": r"Did you mean 'Denoiser'",
    "model.denoiser._target_=Other": r"Other has no such key",
    "+model.denoiser._partial_=true": r"Denoiser has no such key",
    "+extra=1": r"'extra': Schema has no such key",
    "seed=1,2": r"'seed' should be a whole number and is '1,2'",
    "seed": r"seed",
    "a=b=[": r".",
    "hydra.run.dir=/tmp/x": r"'hydra': Schema has no such key",
    "~model.layer": r"layer",
    "experiment=perov_5": r"no defaults list names a file of 'experiment'",
    "model/denoiser=x": r"no defaults list names a file of 'model/denoiser'",
    "model.denoiser.hidden_size=???": r"hidden_size",
    "seed=${missing}": r"missing",
}


@pytest.mark.parametrize("override", WRONG_OVERRIDES)
def test_wrong_override_is_one_clear_sentence(override: str, configs: Path) -> None:
    with pytest.raises(ConfigError, match=WRONG_OVERRIDES[override]) as caught:
        load_config("perov_5/ldm", [override], config_dir=configs, schema=Schema)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert "experiment/perov_5/ldm.yaml" in str(caught.value)
    # It has some of these keys, too; with another class they are its fault.
    assert ("model/big.yaml" in str(caught.value)) == ("=Other" in override)


def test_misspelt_key_in_a_file_names_the_file(configs: Path) -> None:
    write(configs, "model/big", FILES["model/big"].replace("layers:", "layer:"))
    write(configs, "model/other", "layer: 3")  # a file that has the key, too, and is not used
    wrong = r"configs/model/big\.yaml: 'model.layer'.* Did you mean 'layers'"
    with pytest.raises(ConfigError, match=wrong):
        load_config("perov_5/ldm", config_dir=configs)
    with pytest.raises(ConfigError, match=r"configs/model/big\.yaml: 'layer'"):
        load_config("model/big", config_dir=configs)


@pytest.mark.parametrize(
    "content",
    ["a: [1", "a: 1\na: 2", "a:\n\t- b", "- 1\n- 2", "defaults: [/model: none]", "a: ${b", "%"],
)
def test_broken_yaml_is_a_config_error(content: str, configs: Path) -> None:
    write(configs, "experiment/broken", content)
    with pytest.raises(ConfigError, match="broken"):
        load_config("broken", config_dir=configs)


def test_unknown_name_lists_what_there_is(configs: Path) -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'perov_5/ldm'\? There are: .*model/big"):
        load_config("perov5/ldm", config_dir=configs)
    for name in ("", "../pyproject", "/etc/passwd", "model"):
        with pytest.raises(ConfigError, match="There is no configuration"):
            load_config(name, config_dir=configs)


def test_overrides_as_one_text_are_refused(configs: Path) -> None:
    with pytest.raises(ConfigError, match="must be a list"):
        load_config("perov_5/ldm", "seed=1", config_dir=configs)


def test_missing_arguments_are_named_when_building(configs: Path) -> None:
    with pytest.raises(ConfigError, match="Model needs denoiser, optimizer"):
        instantiate({"_target_": "Model"})
    given_later = Denoiser(3)
    made = instantiate({"_target_": "Model", "optimizer": {}}, denoiser=given_later)
    assert made.denoiser is given_later
    check({"_target_": "Model"})  # known only at run time
    with pytest.raises(ConfigError, match=r"'denoiser' should be a Denoiser and is .*Other"):
        instantiate({"_target_": "Model", "optimizer": {}, "denoiser": {"_target_": "Other"}})
    with pytest.raises(ConfigError, match="'denoiser' should be a Denoiser and is Other"):
        check({"_target_": "Model", "denoiser": {"_target_": "Other"}})
    with pytest.raises(ConfigError, match="needs _target_"):
        instantiate({"denoiser": 1})


def test_the_projects_own_classes_are_checked_the_same_way() -> None:
    made = instantiate({"_target_": "GaussianDiffusion", "timesteps": 10})
    assert len(made.alphas_cumprod) == 10
    with pytest.raises(ConfigError, match="Did you mean 'timesteps'"):
        instantiate({"_target_": "GaussianDiffusion", "timestep": 10})


YAML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["_target_", "denoiser", "lr", "depth", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(["denoiser", "optimizer", "layers", "scale"]), YAML_VALUES))
def test_any_values_raise_config_errors_only(content: dict[str, Any]) -> None:
    TARGETS["Model"], TARGETS["Denoiser"] = f"{__name__}.Model", f"{__name__}.Denoiser"
    try:
        made = instantiate({"_target_": "Model", **content})
    except ConfigError:
        return
    finally:
        del TARGETS["Model"], TARGETS["Denoiser"]
    assert isinstance(made.denoiser, Denoiser) and isinstance(made.optimizer, Optimizer)


@pytest.mark.slow
@given(st.text(max_size=20), st.sampled_from(["seed=", "model.", "", "+", "~", "model/"]))
def test_any_override_raises_config_errors_only(shared_configs: Path, text: str, head: str) -> None:
    try:
        load_config("perov_5/ldm", [head + text], config_dir=shared_configs)
    except CrystalLDMError as error:
        assert isinstance(error, ConfigError)


@pytest.fixture(scope="module")
def shared_configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared") / "configs"
    write(folder, "experiment/perov_5/ldm", "seed: 1\nmodel: {a: {b: 2}}\n")
    return folder
