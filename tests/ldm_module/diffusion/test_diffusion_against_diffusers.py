"""Number by number against the schedulers of `diffusers`, driven by the same network and noise.

Conventions of diffusers 0.42: its schedule is float32, where 1 - 0.999 is off by 1e-5 of itself;
given our float64 schedule, DDPM and DDIM agree to rounding. DDPM and DPM-Solver++ step to the next
of their timesteps; DDIM to t - T // steps, which is the next one only where steps divide T.
DPM-Solver++ samples in float32, and with `final_sigmas_type="zero"` its last step is of first order
and gives x0.
"""

import math

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

from crystal_ldm.ldm_module.diffusion import GaussianDiffusion, ddim, ddpm, dpm_solver_pp_2m
from crystal_ldm.ldm_module.diffusion.schedule import respaced_timesteps

SCHEDULES = {"cosine": "squaredcos_cap_v2", "linear": "linear"}
PREDICTIONS = {"noise": "epsilon", "x0": "sample", "v": "v_prediction"}
WEIGHTS = torch.randn(4, 4, generator=torch.Generator().manual_seed(11), dtype=torch.float64)

schedules = pytest.mark.parametrize("schedule", SCHEDULES)
predictions = pytest.mark.parametrize("prediction", PREDICTIONS)
precisions = pytest.mark.parametrize(("float64_schedule", "rtol"), [(False, 3e-4), (True, 1e-9)])


def network(x, t, dim=4):
    """Any smooth function will do: both sides call this one."""
    output = 0.5 * torch.tanh(x @ WEIGHTS.to(x)) + 0.3 * math.cos(t / 100) * x
    return torch.cat([output, torch.sin(3 * x)], dim=-1)[:, :dim]


def start(dtype=torch.float64):
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(
        dtype
    )


def fresh_noise(seed=5):
    generator = torch.Generator().manual_seed(seed)
    return lambda x: torch.randn(x.shape, generator=generator, dtype=x.dtype)


def settings(schedule, prediction, **more):
    return {
        "num_train_timesteps": 1000,
        "beta_schedule": SCHEDULES[schedule],
        "prediction_type": PREDICTIONS[prediction],
        **more,
    }


def run_ours(sampler, diffusion, timesteps, x, eta=0.0):
    """Return x_t before each step, and x_0."""
    path = []

    def denoise(x, t):
        return diffusion.predict(network(x, t, diffusion.output_dim(4)), x, t)

    last = sampler(
        denoise,
        x,
        diffusion,
        timesteps,
        noise=fresh_noise(),
        eta=eta,
        callback=lambda step: path.append(step.x),
    )
    return torch.stack([*path, last])


def assert_same_path(ours, theirs, rtol):
    """Compare each x_t relative to its own size: noise prediction makes x0 large at high noise."""
    assert ours.shape == theirs.shape
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=rtol * other.abs().max().item())


@schedules
@predictions
@precisions
@pytest.mark.parametrize("variance", ["fixed_small", "learned"])
@pytest.mark.parametrize(
    ("spacing", "steps"), [("leading", 20), ("linspace", 33), ("linspace", 200)]
)
def test_ddpm(schedule, prediction, variance, spacing, steps, float64_schedule, rtol):
    scheduler = DDPMScheduler(
        **settings(
            schedule,
            prediction,
            clip_sample=False,
            variance_type="learned_range" if variance == "learned" else variance,
            timestep_spacing=spacing,
        )
    )
    scheduler.set_timesteps(steps)
    diffusion = GaussianDiffusion(1000, schedule, prediction, variance)
    if float64_schedule:
        scheduler.alphas_cumprod = diffusion.alpha_bar(torch.arange(1000))
    timesteps = scheduler.timesteps.tolist()
    x, generator = start(), torch.Generator().manual_seed(5)
    theirs = [x]
    for t in timesteps:
        output = network(x, t, diffusion.output_dim(4))
        x = scheduler.step(output, t, x, generator=generator).prev_sample
        theirs.append(x)
    assert_same_path(run_ours(ddpm, diffusion, timesteps, start()), torch.stack(theirs), rtol)


@schedules
@predictions
@precisions
@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("steps", [20, 50, 200])
def test_ddim(schedule, prediction, eta, steps, float64_schedule, rtol):
    scheduler = DDIMScheduler(
        **settings(schedule, prediction, clip_sample=False, timestep_spacing="trailing")
    )
    scheduler.set_timesteps(steps)
    diffusion = GaussianDiffusion(1000, schedule, prediction)
    if float64_schedule:
        scheduler.alphas_cumprod = diffusion.alpha_bar(torch.arange(1000))
    timesteps = respaced_timesteps(1000, steps)
    assert timesteps == scheduler.timesteps.tolist()
    x, noise = start(), fresh_noise()
    theirs = [x]
    for t in timesteps:
        # The last step has no noise in either: its variance is 0.
        drawn = noise(x) if eta > 0 and t != timesteps[-1] else torch.zeros_like(x)
        output = network(x, t)
        x = scheduler.step(output, t, x, eta=eta, variance_noise=drawn).prev_sample
        theirs.append(x)
    ours = run_ours(ddim, diffusion, timesteps, start(), eta=eta)
    assert_same_path(ours, torch.stack(theirs), rtol)


@schedules
@predictions
@pytest.mark.parametrize("steps", [2, 10, 40])
def test_dpm_solver_pp_2m(schedule, prediction, steps):
    scheduler = DPMSolverMultistepScheduler(
        **settings(
            schedule,
            prediction,
            algorithm_type="dpmsolver++",
            solver_order=2,
            solver_type="midpoint",
            final_sigmas_type="zero",
        )
    )
    timesteps = respaced_timesteps(1000, steps)
    scheduler.set_timesteps(timesteps=timesteps)
    diffusion = GaussianDiffusion(1000, schedule, prediction)
    x = start(torch.float32)
    theirs = [x]
    for t in timesteps:
        x = scheduler.step(network(x, t), t, x).prev_sample
        theirs.append(x)
    ours = run_ours(dpm_solver_pp_2m, diffusion, timesteps, start(torch.float32))
    assert_same_path(ours, torch.stack(theirs), 5e-4)


@schedules
@predictions
def test_forward_process_and_target(schedule, prediction):
    scheduler = DDPMScheduler(**settings(schedule, prediction))
    diffusion = GaussianDiffusion(1000, schedule, prediction)
    x0, noise, t = start(), fresh_noise(9)(start()), torch.tensor([0, 1, 300, 600, 998, 999])
    x_t = scheduler.add_noise(x0, noise, t)
    torch.testing.assert_close(diffusion.q_sample(x0, t, noise), x_t, rtol=0, atol=1e-5)
    target = {"noise": noise, "x0": x0, "v": scheduler.get_velocity(x0, noise, t)}[prediction]
    torch.testing.assert_close(diffusion.target(x0, noise, t), target, rtol=0, atol=1e-5)
