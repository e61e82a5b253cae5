"""Classifier-free guidance: the algebra of the nested scales."""

from __future__ import annotations

import pytest
import torch

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.guidance import GuidedDenoiser, Pass, passes, scale_of_each
from crystal_ldm.random import torch_generator

Setting = tuple[LDMModule, CrystalBatch, torch.Tensor]


@pytest.fixture
def setting(tiny_ldm: LDMModule) -> Setting:
    request = CrystalBatch.from_formulas(["SrTiO3", "Na?3"], band_gap=[2.0, 3.0])
    x = torch.randn(2, 5, 8, generator=torch_generator(0))
    return tiny_ldm, request, x


def prediction(setting: Setting, given: list[str], scales: list[float]) -> torch.Tensor:
    ldm, request, x = setting
    network = ldm.sampler_network
    model = GuidedDenoiser(
        network,
        request.atomic_numbers,
        network.encode(request),
        request.num_atoms,
        request.mask,
        given,
        scales,
    )
    with torch.no_grad():
        return model(x, 500) * request.mask.unsqueeze(-1)


def test_weights_sum_to_one() -> None:
    for scales in ([], [2.0], [1.5, 4.0], [0.0, 3.0, 1.0]):
        assert sum(p.weight for p in passes(scales)) == pytest.approx(1.0)


def test_passes_without_weight_are_skipped() -> None:
    assert passes([1.0, 1.0]) == [Pass(2, 1.0)]
    assert passes([0.0, 0.0]) == [Pass(0, 1.0)]
    assert passes([2.0, 2.0]) == [Pass(0, -1.0), Pass(2, 2.0)]


def test_scales_of_one_are_the_conditional_model(setting: Setting) -> None:
    both = ["composition", "band_gap"]
    ldm, request, x = setting
    network = ldm.sampler_network
    embedded = network.embed(request.atomic_numbers, network.encode(request))
    with torch.no_grad():
        direct = network(x, torch.tensor([500]), request.num_atoms, request.mask, embedded)
    direct = direct * request.mask.unsqueeze(-1)
    assert torch.allclose(prediction(setting, both, [1.0, 1.0]), direct, atol=1e-5)


def test_scales_of_zero_are_the_unconditional_model(setting: Setting) -> None:
    nothing = prediction(setting, [], [])
    assert torch.allclose(
        prediction(setting, ["composition", "band_gap"], [0, 0]), nothing, atol=1e-5
    )


def test_guidance_is_nested(setting: Setting) -> None:
    both = ["composition", "band_gap"]
    nothing = prediction(setting, [], [])
    composition = prediction(setting, ["composition"], [1.0])
    everything = prediction(setting, both, [1.0, 1.0])
    expected = nothing + 1.7 * (composition - nothing) + 0.6 * (everything - composition)
    assert torch.allclose(prediction(setting, both, [1.7, 0.6]), expected, atol=1e-4)
    assert not torch.allclose(composition, everything, atol=1e-3)


def test_a_learned_variance_is_not_guided(setting: Setting) -> None:
    ldm, request, x = setting
    half = x[..., :4]  # the network's other four channels are those of a variance then

    class Halved(torch.nn.Module):
        composition, embed = ldm.sampler_network.composition, ldm.sampler_network.embed

        def forward(self, x: torch.Tensor, *rest: object) -> torch.Tensor:
            return ldm.sampler_network(torch.cat([x, x], dim=-1), *rest)

    def output(scales: list[float]) -> torch.Tensor:
        names, encoded = ["composition", "band_gap"], ldm.sampler_network.encode(request)
        sizes = request.num_atoms, request.mask
        model = GuidedDenoiser(Halved(), request.atomic_numbers, encoded, *sizes, names, scales)
        with torch.no_grad():
            return model(half, 500)

    plain, guided = output([1.0, 1.0]), output([3.0, 3.0])
    assert torch.allclose(plain[..., 4:], guided[..., 4:], atol=1e-5)
    assert not torch.allclose(plain[..., :4], guided[..., :4], atol=1e-3)


def test_a_misspelt_scale_is_refused() -> None:
    with pytest.raises(RequestError, match="Did you mean 'band_gap'"):
        scale_of_each({"bandgap": 2.0}, ["composition", "band_gap"])
