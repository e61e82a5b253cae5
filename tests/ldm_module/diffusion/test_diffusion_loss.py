"""The training loss: masks, weights, and the variational bound."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from crystal_ldm.ldm_module.diffusion import GaussianDiffusion, diffusion_loss

B, N, D = 4, 6, 3
T = 100
MASK = torch.arange(N) < torch.tensor([[6], [1], [3], [5]])
TIMES = torch.tensor([0, 20, 70, 99])


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batch(diffusion):
    return normal(B, N, diffusion.output_dim(D), seed=1), normal(B, N, D), normal(B, N, D, seed=2)


@pytest.mark.parametrize("prediction", ["noise", "x0", "v"])
def test_loss_is_the_mean_over_each_crystals_own_tokens(prediction):
    diffusion = GaussianDiffusion(T, prediction=prediction)
    output, x0, noise = batch(diffusion)
    loss = diffusion_loss(diffusion, output, x0, TIMES, noise, MASK)
    error = (output - diffusion.target(x0, noise, TIMES)) ** 2
    expected = torch.stack([error[i][MASK[i]].mean() for i in range(B)])
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("variance", ["fixed_small", "learned"])
@pytest.mark.parametrize("filling", [0.0, 1e6, float("inf"), float("nan")])
def test_padding_changes_neither_loss_nor_gradient(variance, filling):
    diffusion = GaussianDiffusion(T, variance=variance)
    results = []
    for value in (1.0, filling):
        output, x0, noise = (a.masked_fill(~MASK[..., None], value) for a in batch(diffusion))
        output.requires_grad_()
        loss = diffusion_loss(diffusion, output, x0, TIMES, noise, MASK)
        (gradient,) = torch.autograd.grad(loss.sum(), output)
        assert (gradient[~MASK] == 0).all()
        results.append((loss.detach(), gradient))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("variance", ["fixed_small", "learned"])
def test_more_padding_is_the_same_loss(variance):
    diffusion = GaussianDiffusion(T, variance=variance)
    output, x0, noise = batch(diffusion)
    loss = diffusion_loss(diffusion, output, x0, TIMES, noise, MASK)
    longer = [torch.cat([a, normal(B, 5, a.shape[-1], seed=9)], 1) for a in (output, x0, noise)]
    mask = torch.cat([MASK, torch.zeros(B, 5, dtype=torch.bool)], 1)
    again = diffusion_loss(diffusion, longer[0], longer[1], TIMES, longer[2], mask)
    torch.testing.assert_close(again, loss)
    whole = diffusion_loss(diffusion, output[:1], x0[:1], TIMES[:1], noise[:1])
    torch.testing.assert_close(whole, loss[:1])  # the first crystal has no padding


@pytest.mark.parametrize("prediction", ["noise", "x0", "v"])
def test_a_perfect_prediction_has_no_loss(prediction):
    diffusion = GaussianDiffusion(T, prediction=prediction)
    _, x0, noise = batch(diffusion)
    target = diffusion.target(x0, noise, TIMES)
    assert (diffusion_loss(diffusion, target, x0, TIMES, noise, MASK) == 0).all()


def test_hybrid_loss_is_simple_plus_the_bound():
    """Against KL divergences of torch.distributions (Nichol & Dhariwal 2021, eq. 16)."""
    diffusion = GaussianDiffusion(T, variance="learned")
    output, x0, noise = batch(diffusion)
    loss = diffusion_loss(diffusion, output, x0, TIMES, noise)
    simple = diffusion_loss(GaussianDiffusion(T), output[..., :D], x0, TIMES, noise)
    for i, t in enumerate(TIMES.tolist()):
        x_t = diffusion.q_sample(x0[i], t, noise[i])
        model = diffusion.predict(output[i], x_t, t)
        mean, _ = diffusion.posterior(model.x0, x_t, t)
        std = (0.5 * diffusion.reverse_log_variance(t, t - 1, model.variance_fraction)).exp()
        if t == 0:
            bound = -Normal(mean, std).log_prob(x0[i])
        else:
            true_mean, variance = diffusion.posterior(x0[i], x_t, t)
            true = Normal(true_mean, variance.sqrt().expand_as(true_mean))
            bound = kl_divergence(true, Normal(mean, std))
        torch.testing.assert_close(loss[i], simple[i] + 0.001 * T * bound.mean())


def test_the_bound_trains_the_variance_and_not_the_mean():
    hybrid, simple = GaussianDiffusion(T, variance="learned"), GaussianDiffusion(T)
    output, x0, noise = batch(hybrid)
    output.requires_grad_()
    loss = diffusion_loss(hybrid, output, x0, TIMES, noise, MASK).sum()
    (gradient,) = torch.autograd.grad(loss, output)
    mean = output[..., :D].detach().requires_grad_()
    loss = diffusion_loss(simple, mean, x0, TIMES, noise, MASK).sum()
    torch.testing.assert_close(gradient[..., :D], torch.autograd.grad(loss, mean)[0])
    assert (gradient[..., D:][MASK] != 0).all()


@pytest.mark.parametrize("prediction", ["noise", "v"])
def test_the_best_learned_variance_is_that_of_the_reverse_step(prediction):
    """With the exact mean, the bound is smallest at the variance of q(x_{t-1} | x_t).

    Data N(0, s^2) has it in closed form.
    """
    diffusion = GaussianDiffusion(T, prediction=prediction, variance="learned")
    s, t, number = 0.7, 60, 40_000
    x0, noise = s * normal(number, 1, 1), normal(number, 1, 1, seed=5)
    alpha_bar, before = diffusion.alpha_bar(t).item(), diffusion.alpha_bar(t - 1).item()
    x_t = diffusion.q_sample(x0, t, noise)
    marginal = alpha_bar * s**2 + 1 - alpha_bar
    x0_mean = alpha_bar**0.5 * s**2 / marginal * x_t
    noise_mean = (x_t - alpha_bar**0.5 * x0_mean) / (1 - alpha_bar) ** 0.5
    output = diffusion.target(x0_mean, noise_mean, t)
    # var(x_{t-1} | x_t) of two jointly normal variables with covariance sqrt(alpha) var(x_{t-1}).
    marginal_before = before * s**2 + 1 - before
    exact = marginal_before - alpha_bar / before * marginal_before**2 / marginal
    bounds = torch.linspace(-1, 1, 41, dtype=torch.float64)
    losses = [
        diffusion_loss(
            diffusion,
            torch.cat([output, torch.full_like(output, bound)], dim=-1),
            x0,
            torch.full((number,), t),
            noise,
        ).mean()
        for bound in bounds.tolist()
    ]
    best = (bounds[torch.stack(losses).argmin()] + 1) / 2
    learned = diffusion.reverse_log_variance(t, t - 1, best)
    assert learned.item() == pytest.approx(math.log(exact), abs=0.02)


def test_loss_takes_low_precision_outputs_and_returns_the_latents_precision():
    diffusion = GaussianDiffusion(T, prediction="v")
    output, x0, noise = (a.float() for a in batch(diffusion))
    loss = diffusion_loss(diffusion, output.bfloat16(), x0, TIMES, noise, MASK)
    assert loss.dtype == torch.float32
    assert loss.shape == (B,)
