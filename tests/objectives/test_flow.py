"""The normalizing flow: identity at first, Student's t weights, and a density that learns and integrates to one."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest, multivariate_normal, t

from astro_galtrans.objectives import ResidualFlow, student_t_nll


def flow(n_features=4, n_context=3, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return ResidualFlow(n_features, n_context, **options)


def test_student_t(randn):
    u = 5 * randn(100)
    np.testing.assert_allclose(student_t_nll(u), -t.logpdf(u.numpy(), 5), rtol=1e-5)


def test_a_new_flow_is_the_identity(randn):
    u, context = 4 * randn(200, 4), randn(200, 3, seed=8)
    density = flow()
    base, log_determinant = density.transform(u, context=context)
    torch.testing.assert_close(base, u.flip(1), rtol=0, atol=2e-5)
    torch.testing.assert_close(log_determinant, torch.zeros(200), rtol=0, atol=2e-5)
    torch.testing.assert_close(density.log_prob(u, context), -student_t_nll(u).sum(1), rtol=1e-5, atol=5e-5)


def test_weights_of_a_new_flow_are_those_of_student_t(randn):
    u = torch.cat([4 * randn(300, 4), torch.zeros(1, 4), torch.full((1, 4), 1e-4), torch.full((1, 4), -50.0)])
    weights = flow().weights(u, randn(303, 3, seed=8))
    torch.testing.assert_close(weights, 6 / (5 + u.square()), rtol=2e-3, atol=1e-5)


def test_weights_leave_no_trace(randn):
    density = flow()
    u = randn(5, 4).requires_grad_()
    with torch.no_grad():
        weights = density.weights(u, randn(5, 3))
    assert not weights.requires_grad and u.grad is None
    assert all(parameter.grad is None for parameter in density.parameters())


def trained_flow(u, context, steps=160):
    density = flow(u.shape[1], context.shape[1], n_hidden=16)
    optimizer = torch.optim.Adam(density.parameters(), 2e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        (-density.log_prob(u, context).mean()).backward()
        optimizer.step()
    return density


@pytest.fixture(scope="module")
def correlated():
    """Gaussian residuals of which the size depends on the context, and the density that learned them."""
    rng = np.random.default_rng(3)
    size = rng.choice([0.5, 2.0], 2000)
    covariance = np.array([[1.0, 0.8], [0.8, 1.0]])
    u = size[:, None] * rng.multivariate_normal([0, 0], covariance, 2000)
    u, context = (torch.tensor(x, dtype=torch.float32) for x in (u, np.log(size)[:, None]))
    return u, context, covariance, trained_flow(u, context)


def test_learns_size_and_correlation(correlated):
    u, context, covariance, density = correlated
    with torch.no_grad():
        found = density.log_prob(u, context).mean().item()
        new = flow(2, 1).log_prob(u, context).mean().item()
    scale = context.exp().numpy()
    truth = (multivariate_normal([0, 0], covariance).logpdf(u.numpy() / scale) - 2 * np.log(scale[:, 0])).mean()
    assert new < found < truth + 0.1
    assert truth - found < 0.12


def test_weights_of_a_gaussian_are_its_inverse_variance():
    rng = np.random.default_rng(4)
    size = rng.choice([0.5, 2.0], 2000)
    u = torch.tensor(size[:, None] * rng.normal(size=(2000, 2)), dtype=torch.float32)
    context = torch.tensor(np.log(size)[:, None], dtype=torch.float32)
    density = trained_flow(u, context)
    inside = (u.abs() < 2 * context.exp()) & (u.abs() > 0.4 * context.exp())
    weights = density.weights(u, context)
    for one in (0.5, 2.0):
        row = torch.isclose(context, torch.tensor(np.log(one), dtype=torch.float32))
        assert weights[inside & row].median().item() == pytest.approx(one**-2, rel=0.25)


def test_density_integrates_to_one(correlated):
    density = correlated[-1]
    grid = torch.linspace(-12, 12, 301)
    points = torch.stack(torch.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    with torch.no_grad():
        probability = density.log_prob(points, torch.zeros(len(points), 1)).exp().sum() * (grid[1] - grid[0])**2
    tail = 1 - (1 - 2 * t.sf(12, 5))**2
    assert probability.item() == pytest.approx(1, abs=0.02 + tail)


def test_uniforms_are_uniform_where_the_flow_is_right(correlated):
    u, context, _, density = correlated
    for column in density.uniforms(u, context).T:
        assert kstest(column.numpy(), "uniform").statistic < 0.05
    wrong = density.uniforms(3 * u, context)
    assert kstest(wrong[:, 0].numpy(), "uniform").statistic > 0.1


def test_float32_inside_autocast(randn):
    density, u, context = flow(), randn(6, 4), randn(6, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = density.log_prob(u.bfloat16().float(), context)
        weights = density.weights(u, context)
    assert inside.dtype == weights.dtype == torch.float32
    torch.testing.assert_close(inside, density.log_prob(u.bfloat16().float(), context), rtol=0, atol=0)
    torch.testing.assert_close(weights, density.weights(u, context), rtol=0, atol=0)


@pytest.mark.parametrize("value", [0.0, 6.0, -6.0, 6.0001, 1e3, -1e7])
def test_finite_at_the_ends_of_the_splines_and_beyond(correlated, value):
    density = correlated[-1]
    u = torch.full((3, 2), value).requires_grad_()
    log_prob = density.log_prob(u, torch.zeros(3, 1))
    log_prob.sum().backward()
    assert log_prob.isfinite().all() and u.grad.isfinite().all()
    assert density.weights(u, torch.zeros(3, 1)).isfinite().all()
