"""Samplers on problems whose answer is known: data N(mu, s^2) has an exact denoiser."""

import math

import pytest
import torch

from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module.diffusion import (
    SAMPLERS,
    GaussianDiffusion,
    ModelPrediction,
    StopSampling,
    ddim,
    ddpm,
    dpm_solver_pp_2m,
)

MU, S = 1.5, 0.4


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fresh_noise(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lambda x: torch.randn(x.shape, generator=generator, dtype=x.dtype)


def no_noise(x):
    raise AssertionError("this sampler must not draw noise here")


def exact_denoiser(diffusion):
    """E[x0 | x_t] and E[noise | x_t] for data N(MU, S^2)."""

    def denoise(x, t):
        alpha_bar = diffusion.alpha_bar(t).item()
        signal, variance = alpha_bar**0.5, alpha_bar * S**2 + 1 - alpha_bar
        x0 = MU + signal * S**2 / variance * (x - signal * MU)
        return ModelPrediction(x0, (1 - alpha_bar) ** 0.5 * (x - signal * MU) / variance)

    return denoise


def nonlinear_denoiser(diffusion):
    weights = normal(4, 4, seed=11)
    dim = diffusion.output_dim(4)

    def denoise(x, t):
        output = torch.tanh(x @ weights) + 0.3 * math.cos(t / 100) * x
        return diffusion.predict(output.repeat_interleave(dim // 4, dim=-1), x, t)

    return denoise


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize(
    ("sampler", "steps", "eta"),
    [(ddpm, 500, 0.0), (ddim, 200, 0.0), (ddim, 500, 0.7), (dpm_solver_pp_2m, 50, 0.0)],
)
def test_a_perfect_denoiser_gives_the_data_distribution(sampler, steps, eta, schedule):
    diffusion = GaussianDiffusion(1000, schedule, "v")
    number = 20_000
    x = sampler(
        exact_denoiser(diffusion),
        normal(number, seed=3),
        diffusion,
        diffusion.sampling_timesteps(steps),
        noise=fresh_noise(4),
        eta=eta,
    )
    assert x.mean().item() == pytest.approx(MU, abs=5 * S / number**0.5 + 0.005)
    assert x.std().item() == pytest.approx(S, rel=0.03)
    skewness = (((x - x.mean()) / x.std()) ** 3).mean().item()
    assert skewness == pytest.approx(0, abs=5 * (6 / number) ** 0.5)


def convergence_order(sampler, diffusion):
    """Slope of log error over log steps, against the exact solution of the probability-flow ODE.

    Along it (x_t - sqrt(alpha_bar) MU) / sqrt(alpha_bar S^2 + 1 - alpha_bar) stays constant.
    """

    def on_the_flow(t):
        alpha_bar = diffusion.alpha_bar(t).item()
        return alpha_bar**0.5 * MU + (alpha_bar * S**2 + 1 - alpha_bar) ** 0.5 * normal(64)

    denoise, log_snr = exact_denoiser(diffusion), diffusion.log_snr
    errors, numbers = [], [40, 80, 160]
    for steps in numbers:
        grid = torch.linspace(-2.5, 3.0, steps + 1, dtype=torch.float64)
        timesteps = [int((log_snr - value).abs().argmin()) for value in grid]
        x = sampler(denoise, on_the_flow(timesteps[0]), diffusion, timesteps, noise=no_noise)
        exact = denoise(on_the_flow(timesteps[-1]), timesteps[-1]).x0  # the last step gives x0
        errors.append((x - exact).abs().max().log().item())
    return -(errors[-1] - errors[0]) / math.log(numbers[-1] / numbers[0])


def test_dpm_solver_converges_at_second_order_and_ddim_at_first():
    diffusion = GaussianDiffusion(100_000, "cosine")  # fine enough to place any noise level
    assert convergence_order(dpm_solver_pp_2m, diffusion) == pytest.approx(2, abs=0.1)
    assert convergence_order(ddim, diffusion) == pytest.approx(1, abs=0.1)


def test_dpm_solver_is_far_closer_than_ddim_in_few_steps():
    diffusion = GaussianDiffusion(1000, "cosine", "v")
    start, timesteps = normal(100), diffusion.sampling_timesteps(15)
    denoise = exact_denoiser(diffusion)
    reference = ddim(denoise, start, diffusion, list(range(999, -1, -1)), noise=no_noise)
    first = ddim(denoise, start, diffusion, timesteps, noise=no_noise)
    second = dpm_solver_pp_2m(denoise, start, diffusion, timesteps, noise=no_noise)
    assert (second - reference).abs().mean() < 0.5 * (first - reference).abs().mean()


@pytest.mark.parametrize("steps", [1000, 20])
def test_ddim_with_eta_1_is_ddpm_given_the_same_noise(steps):
    diffusion = GaussianDiffusion(1000, "cosine", "v", variance="fixed_small")
    timesteps = diffusion.sampling_timesteps(steps)
    denoise, start = nonlinear_denoiser(diffusion), normal(3, 5, 4)
    a = ddim(denoise, start, diffusion, timesteps, noise=fresh_noise(1), eta=1.0)
    b = ddpm(denoise, start, diffusion, timesteps, noise=fresh_noise(1))
    torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", ["ddim", "dpm_solver++"])
def test_deterministic_samplers_draw_no_noise_and_repeat(name):
    diffusion = GaussianDiffusion(1000, "cosine", "v")
    arguments = nonlinear_denoiser(diffusion), normal(3, 5, 4), diffusion, [999, 600, 300, 10]
    first = SAMPLERS[name](*arguments, noise=no_noise)
    assert torch.equal(first, SAMPLERS[name](*arguments, noise=no_noise))


@pytest.mark.parametrize(
    ("sampler", "eta", "variance"),
    [(ddpm, 0.0, "fixed_small"), (ddpm, 0.0, "learned"), (ddim, 0.5, "fixed_small")],
)
def test_stochastic_samplers_draw_noise_at_every_step_but_the_last(sampler, eta, variance):
    diffusion = GaussianDiffusion(1000, "cosine", "v", variance)
    draws = []

    def noise(x):
        draws.append(x)
        return torch.zeros_like(x)

    denoise = nonlinear_denoiser(diffusion)
    sampler(denoise, normal(2, 3, 4), diffusion, [999, 600, 300, 10], noise=noise, eta=eta)
    assert len(draws) == 3


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_last_step_is_the_estimate_of_the_clean_sample(name):
    diffusion = GaussianDiffusion(1000, "cosine", "v")
    denoise, steps = nonlinear_denoiser(diffusion), []
    x = SAMPLERS[name](
        denoise,
        normal(2, 3, 4),
        diffusion,
        [900, 500, 40],
        noise=fresh_noise(),
        callback=steps.append,
    )
    torch.testing.assert_close(x, steps[-1].x0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_callback_sees_every_step(name):
    diffusion = GaussianDiffusion(1000, "cosine", "v")
    denoise, start, steps = nonlinear_denoiser(diffusion), normal(2, 3, 4), []
    timesteps = [999, 400, 20]
    arguments = denoise, start, diffusion, timesteps
    watched = SAMPLERS[name](*arguments, noise=fresh_noise(2), callback=steps.append)
    assert torch.equal(watched, SAMPLERS[name](*arguments, noise=fresh_noise(2)))
    assert [step.step for step in steps] == [0, 1, 2]
    assert [step.timestep for step in steps] == timesteps
    assert {step.num_steps for step in steps} == {3}
    assert torch.equal(steps[0].x, start)
    for step in steps:
        alpha_bar = diffusion.alpha_bar(step.timestep).item()
        assert step.noise_level == pytest.approx((1 - alpha_bar) ** 0.5)
        torch.testing.assert_close(step.x0, denoise(step.x, step.timestep).x0)
        composed = diffusion.q_sample(step.x0, step.timestep, step.noise)
        torch.testing.assert_close(composed, step.x)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_callback_can_stop_sampling(name):
    diffusion, seen = GaussianDiffusion(1000, "cosine", "v"), []

    def stop_at_the_second(step):
        seen.append(step.step)
        if step.step == 1:
            raise StopSampling

    with pytest.raises(StopSampling):
        SAMPLERS[name](
            nonlinear_denoiser(diffusion),
            normal(2, 3, 4),
            diffusion,
            [999, 500, 200, 0],
            noise=fresh_noise(),
            callback=stop_at_the_second,
        )
    assert seen == [0, 1]


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("prediction", ["noise", "x0", "v"])
def test_samples_stay_in_float32_and_finite_at_any_number_of_steps(name, prediction):
    """A network that is off by 1 % everywhere must not be blown up where alpha_bar is 2e-9."""
    diffusion = GaussianDiffusion(1000, "cosine", prediction)
    exact, error = exact_denoiser(diffusion), 0.01 * normal(50, 4, seed=8).float()

    def denoise(x, t):
        model = exact(x, t)
        return diffusion.predict(diffusion.target(model.x0, model.noise, t) + error, x, t)

    for steps in (1, 5, 20, 1000):
        timesteps = diffusion.sampling_timesteps(steps)
        x = SAMPLERS[name](
            denoise, normal(50, 4).float(), diffusion, timesteps, noise=fresh_noise()
        )
        assert x.dtype == torch.float32
        assert x.isfinite().all()
        if steps > 1:
            assert (x - MU).abs().max() < 10 * S


def test_a_variation_stays_closer_to_its_crystal_the_lower_its_strength():
    diffusion = GaussianDiffusion(1000, "cosine", "v")
    x0 = MU + S * normal(2000)
    distances = []
    for strength in (0.1, 0.4, 1.0):
        timesteps = diffusion.sampling_timesteps(50, strength=strength)
        start = diffusion.q_sample(x0, timesteps[0], normal(2000, seed=1))
        x = ddpm(exact_denoiser(diffusion), start, diffusion, timesteps, noise=fresh_noise(6))
        assert x.mean().item() == pytest.approx(MU, abs=0.06)
        distances.append((x - x0).pow(2).mean().sqrt().item())
    assert distances[0] < 0.5 * distances[1] < 0.5 * distances[2]
    assert distances[2] == pytest.approx(2**0.5 * S, rel=0.1)  # independent of the start


def test_samplers_build_no_autograd_graph():
    diffusion = GaussianDiffusion(1000, "cosine", "v")
    weight = torch.ones(4, dtype=torch.float64, requires_grad=True)
    for sampler in SAMPLERS.values():
        x = sampler(
            lambda x, t: diffusion.predict(weight * x, x, t),
            normal(2, 3, 4),
            diffusion,
            [900, 100],
            noise=fresh_noise(),
        )
        assert not x.requires_grad


@pytest.mark.parametrize("name", ["ddpm", "dpm_solver++"])
def test_an_eta_that_would_be_ignored_is_refused(name):
    diffusion = GaussianDiffusion(10)
    with pytest.raises(RequestError, match="has no eta"):
        SAMPLERS[name](
            exact_denoiser(diffusion), normal(2), diffusion, [9], noise=no_noise, eta=0.5
        )
