"""Noise schedules and the timesteps that a sampler visits."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from crystal_ldm.errors import ConfigError, RequestError
from crystal_ldm.ldm_module.diffusion import GaussianDiffusion
from crystal_ldm.ldm_module.diffusion.schedule import respaced_timesteps

NAMES = {"cosine": "squaredcos_cap_v2", "linear": "linear"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("timesteps", [2, 10, 100, 1000])
def test_alpha_bar_falls_from_signal_to_noise(name, timesteps):
    schedule = GaussianDiffusion(timesteps, name)
    assert schedule.alphas_cumprod.shape == (timesteps,)
    assert schedule.betas.min() > 0
    assert schedule.betas.max() <= 0.999
    assert (schedule.alphas_cumprod.diff() < 0).all()
    assert (schedule.log_snr.diff() < 0).all()
    assert schedule.alphas_cumprod[-1] > 0


def test_cosine_is_equation_17_up_to_the_clipped_last_beta():
    def f(t):
        return math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    schedule = GaussianDiffusion(1000, "cosine")
    expected = torch.tensor([f(t) / f(0) for t in range(1, 1000)], dtype=torch.float64)
    torch.testing.assert_close(schedule.alpha_bar(torch.arange(999)), expected, rtol=1e-10, atol=0)
    assert schedule.betas[-1] == 0.999
    assert schedule.alpha_bar(999) == pytest.approx(0.001 * f(999) / f(0))


def test_linear_keeps_its_last_alpha_bar_at_any_length():
    assert GaussianDiffusion(1000, "linear").betas[[0, -1]].tolist() == [1e-4, 0.02]
    for timesteps in (250, 500, 2000, 4000):
        last = GaussianDiffusion(timesteps, "linear").alpha_bar(timesteps - 1).log().item()
        assert last == pytest.approx(math.log(4.04e-5), abs=0.3)


@pytest.mark.parametrize(("ours", "theirs"), NAMES.items())
@pytest.mark.parametrize("timesteps", [50, 1000])
def test_schedule_agrees_with_diffusers(ours, theirs, timesteps):
    scale = 1000 / timesteps if ours == "linear" else 1
    scheduler = DDIMScheduler(
        timesteps, beta_schedule=theirs, beta_start=1e-4 * scale, beta_end=0.02 * scale
    )
    diffusion = GaussianDiffusion(timesteps, ours)
    # Theirs is float32: 1 - 0.999 alone is off by 1e-5 of itself.
    expected = scheduler.alphas_cumprod.double()
    alpha_bar = diffusion.alpha_bar(torch.arange(timesteps))
    torch.testing.assert_close(alpha_bar, expected, rtol=5e-5, atol=0)


@pytest.mark.parametrize("timesteps", [1, 0, -5, 10.5, True])
def test_schedule_refuses_a_wrong_number_of_timesteps(timesteps):
    with pytest.raises(ConfigError, match="number"):
        GaussianDiffusion(timesteps)


@pytest.mark.parametrize("timesteps", [7, 100, 1000])
def test_respaced_timesteps_fall_within_range_in_the_number_asked_for(timesteps):
    for steps in range(1, min(timesteps, 120) + 1):
        chosen = respaced_timesteps(timesteps, steps)
        assert len(chosen) == steps
        assert all(type(t) is int for t in chosen)
        assert all(later < earlier for earlier, later in pairwise(chosen))
        assert chosen[0] == timesteps - 1
        assert chosen[-1] >= 0


@pytest.mark.parametrize("steps", [2, 5, 7, 20, 50, 333, 1000])
def test_respacing_agrees_with_diffusers(steps):
    scheduler = DDIMScheduler(1000, timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    assert respaced_timesteps(1000, steps) == scheduler.timesteps.tolist()


@pytest.mark.parametrize("steps", [0, -1, 101])
def test_respacing_refuses_a_wrong_number_of_steps(steps):
    with pytest.raises(RequestError, match="from 1 to 100"):
        respaced_timesteps(100, steps)


@pytest.mark.parametrize("prediction", ["noise", "v"])
def test_strength_is_the_share_of_the_time_that_the_steps_cover(prediction):
    diffusion = GaussianDiffusion(prediction=prediction)
    whole = diffusion.sampling_timesteps(20)
    assert diffusion.sampling_timesteps(20, strength=1.0) == whole
    for strength in (0.9, 0.3, 0.05):
        part = diffusion.sampling_timesteps(5, strength=strength)
        assert len(part) == 5
        assert part[0] + 1 == round(strength * (whole[0] + 1))
        assert part == sorted(set(part), reverse=True) and part[-1] >= 0
    assert diffusion.sampling_timesteps(20, strength=0.005) == [4, 3, 2, 1, 0]
    assert diffusion.sampling_timesteps(20, strength=1e-6) == [0]


@pytest.mark.parametrize("strength", [0.0, -0.1, 1.01, np.nan])
def test_strength_outside_its_range_is_refused(strength):
    with pytest.raises(RequestError, match="strength"):
        GaussianDiffusion().sampling_timesteps(5, strength=strength)
