"""The diffusion's schedule against MONAI's sampler and an exact answer, and the backbone against bare MONAI."""

import pytest
import torch

from astro_galtrans.backbones import Diffusion, DiffusionSchedule, Noisy, build_backbone, resample

pytestmark = pytest.mark.monai

SCALE_RATIO = 0.187 / 0.396
SMALL = {"channels": [8, 16], "n_features": 4, "n_groups": 4, "head_channels": 8}
SCHEDULES = ["cosine", "linear", "scaled_linear"]


def randn(*shape, seed=7):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def backbone(n_planes=3, n_resampled=3, n_condition=0, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return build_backbone("diffusion", n_planes=n_planes, n_resampled=n_resampled, n_condition=n_condition,
                              **{"scale_ratio": SCALE_RATIO, **SMALL, **options})


def inputs(n=2, n_planes=3, n_resampled=3, size=(16, 16), target=(34, 34)):
    noisy = Noisy(randn(n, n_resampled, *target, seed=1), torch.arange(n) * 300 + 20)
    return randn(n, n_planes, *size), randn(n, n_resampled, *target, seed=2), target, None, noisy


@pytest.mark.parametrize("noise_schedule", SCHEDULES)
@pytest.mark.parametrize("n_train_steps", [2, 10, 1000])
def test_signal_falls_to_nothing(noise_schedule, n_train_steps):
    schedule = DiffusionSchedule(n_train_steps, noise_schedule)
    snr = schedule.signal_to_noise(torch.arange(n_train_steps))
    assert snr.isfinite().all() and (snr.diff() < 0).all()
    assert snr[-1] == 0 and schedule.noise[-1] == 1
    torch.testing.assert_close(schedule.signal.square() + schedule.noise.square(), torch.ones(n_train_steps))


@pytest.mark.parametrize("noise_schedule", SCHEDULES)
def test_rates_are_monais_but_for_what_these_leave_at_the_end(noise_schedule):
    from monai.networks.schedulers import DDPMScheduler

    names = {"cosine": "cosine", "linear": "linear_beta", "scaled_linear": "scaled_linear_beta"}
    theirs = DDPMScheduler(1000, names[noise_schedule]).alphas_cumprod.sqrt()
    ours = DiffusionSchedule(1000, noise_schedule).signal
    torch.testing.assert_close(ours[0], theirs[0])
    # Shifted by no more than what theirs leaves at the end.
    assert (ours - theirs).abs().max() <= 1.001 * theirs[-1] + 1e-5


def test_draws_have_the_stated_moments_and_repeat():
    schedule = DiffusionSchedule(100)
    clean = torch.full((400, 1, 16, 16), 2.0)
    noisy = schedule.draw(clean, torch.Generator().manual_seed(4))
    again = schedule.draw(clean, torch.Generator().manual_seed(4))
    assert torch.equal(noisy.image, again.image) and torch.equal(noisy.time, again.time)
    other = schedule.draw(clean, torch.Generator().manual_seed(5))
    assert not torch.equal(noisy.time, other.time)
    assert noisy.time.dtype == torch.int64 and set(noisy.time.tolist()) <= set(range(100))
    assert noisy.time.min() < 5 and noisy.time.max() > 94
    assert abs(noisy.time.double().mean() - 49.5) < 5
    noise = (noisy.image - schedule.signal[noisy.time][:, None, None, None] * clean)
    noise = noise / schedule.noise[noisy.time][:, None, None, None]
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02
    assert abs((noise[0] * noise[1]).mean()) < 0.3  # each galaxy has noise of its own


@pytest.mark.parametrize("noise_schedule", SCHEDULES)
def test_clean_image_of_the_true_velocity(noise_schedule):
    schedule = DiffusionSchedule(1000, noise_schedule)
    clean, noise = randn(6, 2, 5, 5), randn(6, 2, 5, 5, seed=8)
    time = torch.tensor([0, 1, 200, 600, 998, 999])
    noisy = schedule.add_noise(clean, noise, time)
    signal, spread = (rate[time][:, None, None, None] for rate in (schedule.signal, schedule.noise))
    torch.testing.assert_close(schedule.clean(noisy, signal * noise - spread * clean), clean)
    torch.testing.assert_close(noisy.image[-1], noise[-1], rtol=0, atol=0)


def test_times_start_at_the_last_and_grow_closer():
    schedule = DiffusionSchedule(1000)
    assert schedule.times(1) == [999]
    assert schedule.times(4) == [999, 561, 249, 61]
    assert schedule.times(1000) == list(range(999, -1, -1))
    for n in range(1, 200):
        times = schedule.times(n)
        assert len(times) == n and times[0] == 999 and times[-1] >= 0
        steps = [a - b for a, b in zip(times, [*times[1:], -1])]
        assert min(steps) > 0 and all(a >= b - 1 for a, b in zip(steps, steps[1:]))


@pytest.mark.parametrize("n_steps", [0, 11, 2.0, "5"])
def test_number_of_steps_is_checked(n_steps):
    with pytest.raises(ValueError, match="n_steps must be an integer from 1 to n_train_steps = 10, got"):
        DiffusionSchedule(10).sample(lambda noisy: noisy.image, randn(1, 1, 2, 2), n_steps)


@pytest.mark.parametrize("noise_schedule", SCHEDULES)
def test_sampling_is_monais_ddim(noise_schedule):
    """Step by step the same, given our rates and our times."""
    from monai.networks.schedulers import DDIMScheduler

    schedule = DiffusionSchedule(1000, noise_schedule)
    sampler = DDIMScheduler(1000, clip_sample=False, prediction_type="sample")
    sampler.alphas_cumprod = schedule.signal.double().square()

    def predict(noisy):
        return 0.3 + 0.8 * torch.tanh(noisy.image) * (1 - noisy.time.to(noisy.image)[:, None, None, None] / 1000)

    noise = randn(3, 2, 4, 4).double()
    image = noise
    times = schedule.times(20)
    for time, after in zip(times, [*times[1:], -1]):
        sampler.num_train_timesteps, sampler.num_inference_steps = time - after, 1  # their quotient is its step
        image, _ = sampler.step(predict(Noisy(image, torch.full((3,), time))), time, image)
    ours = schedule.sample(predict, noise, 20)
    torch.testing.assert_close(ours, image, rtol=1e-5, atol=1e-5)


def test_samples_of_a_gaussian_have_its_mean_and_variance():
    """With the exact denoiser of images of known mean and variance, in more steps more exactly."""
    schedule, mean, sigma = DiffusionSchedule(1000), 1.5, 0.4

    def denoise(noisy):
        signal, noise = (rate[noisy.time][:, None, None, None] for rate in (schedule.signal, schedule.noise))
        gain = sigma**2 * signal / (sigma**2 * signal**2 + noise**2)
        return mean + gain * (noisy.image - signal * mean)

    noise = randn(200, 1, 16, 16)
    assert schedule.sample(denoise, noise, 1).std() == 0  # the mean of all that is possible
    error = []
    for n in (1, 5, 20, 200):
        samples = schedule.sample(denoise, noise, n)
        assert samples.mean().item() == pytest.approx(mean, abs=0.01)
        error.append(abs(samples.std().item() / sigma - 1))
    assert error == sorted(error, reverse=True) and error[-1] < 0.01


@pytest.mark.parametrize("sigma", [0.05, 0.3, 2.0])
def test_twenty_steps_keep_what_is_faint(sigma):
    """As the noise of the sky is beside the bright middle of a galaxy."""
    schedule = DiffusionSchedule(1000)

    def denoise(noisy):
        signal, noise = (rate[noisy.time][:, None, None, None] for rate in (schedule.signal, schedule.noise))
        return sigma**2 * signal / (sigma**2 * signal**2 + noise**2) * noisy.image

    noise = randn(50, 1, 16, 16)
    assert (schedule.sample(denoise, noise, 20) / noise).mean().item() > 0.85 * sigma


@pytest.mark.parametrize(("options", "message"), [
    ({"n_train_steps": 1}, "n_train_steps must be an integer of at least 2, got 1"),
    ({"noise_schedule": "quadratic"}, "noise_schedule must be one of cosine, .*, got 'quadratic'"),
    ({"sampling_steps": 1001}, "sampling_steps must be an integer from 1 to n_train_steps = 1000, got 1001"),
    ({"channels": []}, "channels must be positive integers"),
    ({"n_groups": 3}, r"n_groups must be a proper divisor of each of channels = \(8, 16\), got 3"),
    ({"n_groups": 8}, "n_groups must be a proper divisor"),
    ({"head_channels": 5}, "head_channels must divide the last of channels"),
    ({"n_blocks": 0}, "n_blocks must be a positive integer, got 0"),
    ({"n_features": 1.5}, "n_features must be a positive integer, got 1.5"),
])
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        backbone(**options)


def test_noisy_images_are_asked_for():
    with pytest.raises(ValueError, match="noisy must be given: a diffusion backbone is trained with noisy"):
        backbone()(*inputs()[:4])


def test_without_monai_the_extra_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "monai.networks.schedulers", None)
    with pytest.raises(ImportError, match=r"diffusion backbone.*astro_galtrans\[backbones\]"):
        backbone()


@pytest.mark.parametrize("options", [{}, {"attention": True, "n_blocks": 2}, {"channels": [8, 8, 16]}])
def test_maps_are_those_of_bare_monai(options):
    from monai.networks.nets import DiffusionModelUNet

    net = backbone(**options)
    options = {**SMALL, "n_blocks": 1, "attention": False, **options}
    levels = len(options["channels"])
    with torch.random.fork_rng(devices=[]):
        bare = DiffusionModelUNet(
            spatial_dims=2, in_channels=9, out_channels=4, channels=options["channels"],
            num_res_blocks=[options["n_blocks"]] * levels, norm_num_groups=4, num_head_channels=8,
            attention_levels=[False] * (levels - 1) + [options["attention"]], use_combined_linear=True)
    bare.load_state_dict(net.unet.state_dict())
    planes, resampled, size, _, noisy = inputs(target=(36, 36))
    with torch.no_grad():
        maps = net(planes, resampled, size, noisy=noisy).maps
        x = torch.cat([noisy.image, resampled / 4, resample(planes, size, SCALE_RATIO) / 4], 1)
        torch.testing.assert_close(maps, bare(x, noisy.time), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "target"), [((16, 16), (34, 34)), ((4, 4), (9, 9)), ((13, 18), (27, 39)),
                                              ((1, 1), (1, 3))])
def test_sizes_that_do_not_halve(size, target):
    net = backbone(2, 1, channels=[8, 8, 8, 16])
    features = net(*inputs(2, 2, 1, size, target))
    assert features.maps.shape == (2, 4, *target) and features.embedding.shape == (2, 16)
    assert features.maps.isfinite().all() and features.embedding.isfinite().all()


@pytest.mark.parametrize("n_condition", [0, 6])
@pytest.mark.parametrize("size", ["tiny", None])
def test_all_parameters_learn_from_the_first_step(n_condition, size):
    net = backbone(n_condition=n_condition, **(Diffusion.sizes[size] if size else SMALL))
    planes, resampled, target, _, noisy = inputs()
    condition = randn(2, 6) if n_condition else None
    maps, embedding = net(planes, resampled, target, condition, noisy)
    (maps.square().mean() + embedding.square().mean()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 1e-7, name


def test_time_noise_input_and_condition_are_all_seen():
    net = backbone(n_condition=6)
    planes, resampled, target, _, noisy = inputs()
    condition = randn(2, 6)
    with torch.no_grad():
        maps = net(planes, resampled, target, condition, noisy).maps
        for changed in [
            (planes + 1, resampled, target, condition, noisy), (planes, resampled + 1, target, condition, noisy),
            (planes, resampled, target, condition + 1, noisy),
            (planes, resampled, target, condition, noisy._replace(time=noisy.time + 300)),
            (planes, resampled, target, condition, noisy._replace(image=-noisy.image)),
        ]:
            assert (net(*changed).maps - maps).abs().max() > 1e-3
    assert torch.equal(noisy.image, inputs()[4].image) and torch.equal(resampled, inputs()[1])


def test_schedule_is_no_part_of_the_weights():
    net = backbone()
    assert not [name for name in net.state_dict() if name.startswith("schedule")]
    assert {name for name, _ in net.named_buffers()} == {"schedule.signal", "schedule.noise"}


def test_default_is_tiny():
    with torch.random.fork_rng(devices=[]):
        default = Diffusion(5, 5, scale_ratio=SCALE_RATIO).state_dict()
        tiny = Diffusion(5, 5, scale_ratio=SCALE_RATIO, **Diffusion.sizes["tiny"]).state_dict()
    assert {name: value.shape for name, value in default.items()} == {n: v.shape for n, v in tiny.items()}
