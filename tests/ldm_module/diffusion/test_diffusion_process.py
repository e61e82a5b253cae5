"""The forward process, its posterior, and the reading of a network's output."""

import copy
import pickle

import pytest
import torch

from crystal_ldm.errors import ConfigError, RequestError
from crystal_ldm.ldm_module.diffusion import GaussianDiffusion

PREDICTIONS = ("noise", "x0", "v")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_alphas_cumprod_is_a_tensor_of_length_timesteps():
    diffusion = GaussianDiffusion(timesteps=1000, beta_schedule="cosine")
    assert diffusion.timesteps == 1000
    assert diffusion.beta_schedule == "cosine"
    assert diffusion.alphas_cumprod.shape == (1000,)
    assert diffusion.alphas_cumprod.dtype == torch.float32
    assert diffusion.alpha_bar(-1) == 1


def test_process_is_a_value_that_survives_copies():
    diffusion = GaussianDiffusion(50, prediction="v")
    assert diffusion.alphas_cumprod is not None  # cached values must not break what follows
    for twin in (copy.deepcopy(diffusion), pickle.loads(pickle.dumps(diffusion))):
        assert twin == diffusion
        assert torch.equal(twin.alphas_cumprod, diffusion.alphas_cumprod)


@pytest.mark.parametrize("t", [0, 10, 60, 99])
def test_q_sample_has_the_moments_of_iterated_noising(t):
    """x_t from t + 1 single steps x -> sqrt(1 - beta) x + sqrt(beta) noise (Ho et al., eq. 2)."""
    diffusion = GaussianDiffusion(100)
    number, start = 100_000, 1.7
    generator = torch.Generator().manual_seed(t)
    x = torch.full((number,), start, dtype=torch.float64)
    for beta in diffusion.betas[: t + 1].tolist():
        noise = torch.randn(number, generator=generator, dtype=torch.float64)
        x = (1 - beta) ** 0.5 * x + beta**0.5 * noise
    direct = diffusion.q_sample(torch.full_like(x, start), t, normal(number, seed=t + 1))
    alpha_bar = diffusion.alpha_bar(t)
    mean, std = alpha_bar.sqrt() * start, (1 - alpha_bar).sqrt()
    for sample in (x, direct):
        error = std.item() / number**0.5
        assert sample.mean().item() == pytest.approx(mean.item(), abs=5 * error)
        assert sample.std().item() == pytest.approx(std.item(), abs=5 * error)


def test_a_timestep_for_each_sample_is_the_same_as_one_at_a_time():
    diffusion = GaussianDiffusion(100, prediction="v")
    x0, noise, t = normal(4, 3, 2), normal(4, 3, 2, seed=1), torch.tensor([0, 7, 50, 99])
    x_t = diffusion.q_sample(x0, t, noise)
    both = diffusion.predict(noise, x_t, t)
    posterior, variance = diffusion.posterior(x0, x_t, t)
    for i, one in enumerate(t.tolist()):
        torch.testing.assert_close(x_t[i], diffusion.q_sample(x0[i], one, noise[i]))
        torch.testing.assert_close(both.x0[i], diffusion.predict(noise[i], x_t[i], one).x0)
        mean, var = diffusion.posterior(x0[i], x_t[i], one)
        torch.testing.assert_close(posterior[i], mean)
        torch.testing.assert_close(variance[i], var)


@pytest.mark.parametrize(("t", "s"), [(1, 0), (40, 39), (40, 10), (99, 98), (99, 3)])
def test_posterior_is_bayes_rule(t, s):
    """q(x_s | x_t, x_0) from the product q(x_t | x_s) q(x_s | x_0), integrated numerically."""
    diffusion = GaussianDiffusion(100)
    x0, x_t = 0.8, -0.4
    alpha_bar_t, alpha_bar_s = diffusion.alpha_bar(t).item(), diffusion.alpha_bar(s).item()
    alpha = alpha_bar_t / alpha_bar_s
    x_s = torch.linspace(-12, 12, 400_001, dtype=torch.float64)
    log_density = -((x_t - alpha**0.5 * x_s) ** 2) / (2 * (1 - alpha))
    log_density -= (x_s - alpha_bar_s**0.5 * x0) ** 2 / (2 * (1 - alpha_bar_s))
    density = torch.softmax(log_density, dim=0)
    mean = (density * x_s).sum()
    variance = (density * (x_s - mean) ** 2).sum()
    ours = diffusion.posterior(torch.tensor(x0).double(), torch.tensor(x_t).double(), t, s)
    torch.testing.assert_close(ours[0], mean, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(ours[1], variance, rtol=1e-6, atol=1e-12)


def test_posterior_of_the_first_step_is_the_clean_sample():
    diffusion = GaussianDiffusion(100)
    x0, x_t = normal(5), normal(5, seed=1)
    for t in (0, 30, 99):
        mean, variance = diffusion.posterior(x0, x_t, t, -1)
        torch.testing.assert_close(mean, x0)
        assert variance == 0


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_conversions_round_trip_at_every_timestep(schedule, prediction):
    diffusion = GaussianDiffusion(1000, schedule, prediction)
    t = torch.arange(1000)
    x0, noise = normal(1000, 4, 8), normal(1000, 4, 8, seed=1)
    x_t = diffusion.q_sample(x0, t, noise)
    model = diffusion.predict(diffusion.target(x0, noise, t), x_t, t)
    torch.testing.assert_close(model.x0, x0, rtol=0, atol=1e-9)
    torch.testing.assert_close(model.noise, noise, rtol=0, atol=1e-9)
    assert model.variance_fraction is None


def test_v_prediction_is_exact_in_float32_even_at_the_last_timestep():
    diffusion = GaussianDiffusion(1000, "cosine", "v")
    x0, noise = normal(1, 64, 8).float(), normal(1, 64, 8, seed=1).float()
    for t in (0, 500, 999):
        x_t = diffusion.q_sample(x0, t, noise)
        model = diffusion.predict(diffusion.target(x0, noise, t), x_t, t)
        assert model.x0.dtype == torch.float32
        torch.testing.assert_close(model.x0, x0, rtol=0, atol=2e-6)
        torch.testing.assert_close(model.noise, noise, rtol=0, atol=2e-6)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_predicted_x0_and_noise_compose_the_sample(prediction):
    """x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) noise holds for any output."""
    diffusion = GaussianDiffusion(1000, prediction=prediction)
    x_t = normal(2, 5, 3)
    for t in (1, 400, 990):
        model = diffusion.predict(normal(2, 5, 3, seed=t), x_t, t)
        torch.testing.assert_close(diffusion.q_sample(model.x0, t, model.noise), x_t)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_guidance_on_outputs_is_guidance_on_x0(prediction):
    diffusion = GaussianDiffusion(1000, prediction=prediction)
    x_t, null, conditional = normal(2, 3, 4), normal(2, 3, 4, seed=1), normal(2, 3, 4, seed=2)
    guided = diffusion.predict(null + 2.5 * (conditional - null), x_t, 600).x0
    x0_null, x0_cond = (diffusion.predict(o, x_t, 600).x0 for o in (null, conditional))
    torch.testing.assert_close(guided, x0_null + 2.5 * (x0_cond - x0_null))


def test_low_precision_outputs_do_not_lower_the_precision_of_the_sample():
    diffusion = GaussianDiffusion(1000, prediction="v")
    x_t, output = normal(2, 3, 4).float(), normal(2, 3, 4, seed=1).bfloat16()
    model = diffusion.predict(output, x_t, 300)
    assert torch.equal(model.x0, diffusion.predict(output.float(), x_t, 300).x0)


def test_learned_variance_spans_the_two_bounds():
    diffusion = GaussianDiffusion(100, variance="learned")
    small = GaussianDiffusion(100, variance="fixed_small")
    assert (diffusion.output_dim(8), small.output_dim(8)) == (16, 8)
    for t, s in ((1, 0), (50, 49), (99, 20)):
        lower = small.reverse_log_variance(t, s)
        upper = (1 - small.alpha_bar(t) / small.alpha_bar(s)).log()  # beta
        assert lower < upper
        fraction = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
        learned = diffusion.reverse_log_variance(t, s, fraction)
        torch.testing.assert_close(learned, torch.stack([lower, (lower + upper) / 2, upper]))
        _, variance = diffusion.posterior(normal(1), normal(1), t, s)
        torch.testing.assert_close(lower.exp(), variance)
    # The posterior of the first step has no width; improved DDPM gives it the next step's.
    assert small.reverse_log_variance(0, -1) == small.reverse_log_variance(1, 0)
    output = torch.cat([normal(2, 3, 4), torch.full((2, 3, 4), -1.0)], dim=-1)
    assert (diffusion.predict(output, normal(2, 3, 4), 50).variance_fraction == 0).all()


def test_noise_prediction_starts_where_its_errors_stay_small():
    noise, v = GaussianDiffusion(1000), GaussianDiffusion(1000, prediction="v")
    for steps in (5, 20, 250, 996):
        chosen = noise.sampling_timesteps(steps)
        assert len(chosen) == steps
        assert chosen[0] == 995
        assert noise.alpha_bar(995) ** -0.5 <= 200 < noise.alpha_bar(996) ** -0.5
        assert v.sampling_timesteps(steps)[0] == 999
    assert noise.sampling_timesteps(1000) == list(range(999, -1, -1))
    with pytest.raises(RequestError, match="from 1 to 1000"):
        noise.sampling_timesteps(1001)


@pytest.mark.parametrize(
    ("argument", "value", "meant"),
    [
        ("beta_schedule", "cosne", "cosine"),
        ("prediction", "nois", "noise"),
        ("variance", "fixed_smal", "fixed_small"),
    ],
)
def test_a_misspelt_option_suggests_the_right_one(argument, value, meant):
    with pytest.raises(ConfigError, match=rf"'{value}'.*Did you mean '{meant}'\?"):
        GaussianDiffusion(**{argument: value})
