"""What a network makes of redshifts and spectra, certain, uncertain and missing."""

import pytest
import torch

from astro_galtrans.backbones import available_conditioning
from astro_galtrans.backbones.conditioning import RedshiftReader, build_embedding

GRID = {"first": 3600.0, "last": 10000.0, "n_pixels": 128}


def embedding(kind, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = build_embedding(kind, 16, **options)
        torch.nn.init.normal_(made.unknown)
    return made


@pytest.fixture(scope="module")
def of_redshift():
    made = embedding("redshift")

    def run(redshift, error=0.0):
        redshift = torch.as_tensor(redshift, dtype=torch.float32).reshape(-1)
        with torch.no_grad():
            return made(redshift, torch.full_like(redshift, error))
    return run


@pytest.fixture(scope="module")
def of_spectrum():
    made = embedding("spectrum", grid=GRID)

    def run(flux, weight):
        with torch.no_grad():
            return made(flux, weight)
    run.unknown = made.unknown.detach()
    return run


def lines(shift=0, n=1):
    pixels = torch.arange(GRID["n_pixels"])
    flux = 1 + 3 * torch.exp(-0.5 * ((pixels - 60 - shift) / 2.0)**2)
    return flux.expand(n, -1), torch.full((n, GRID["n_pixels"]), 100.0)


def test_kinds():
    assert available_conditioning() == (None, "redshift", "spectrum")
    assert build_embedding(None, 16) is None
    with pytest.raises(ValueError, match="conditioning must be one of None, redshift, spectrum, got 'mass'"):
        build_embedding("mass", 16)


@pytest.mark.parametrize("redshift", [-0.001, 0.0, 0.1, 1.5, 6.0])
def test_redshifts_are_told_apart(of_redshift, redshift):
    one, near, far = of_redshift([redshift, redshift + 1e-4, redshift + 0.05])
    assert 0 < (one - near).abs().max() < (one - far).abs().max()


def test_an_uncertain_redshift_forgets_what_it_does_not_resolve(of_redshift):
    """The difference between two redshifts shrinks as both become uncertain, and little for a small error."""
    apart = [float((of_redshift(0.1, s) - of_redshift(0.12, s)).abs().max()) for s in (0.0, 1e-4, 0.01, 0.1, 1.0)]
    assert apart[1] == pytest.approx(apart[0], rel=1e-2)
    assert apart[0] > apart[2] > apart[3] > apart[4]


def test_an_unknown_redshift_is_not_a_redshift(of_redshift):
    unknown, zero = of_redshift([torch.nan, 0.0])
    assert unknown.isfinite().all()
    assert (unknown - zero).abs().max() > 1e-2


def test_unknown_galaxies_do_not_spoil_the_gradient():
    made = embedding("redshift")
    made(torch.tensor([0.1, torch.nan]), torch.tensor([0.0, torch.nan])).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in made.parameters())
    torch.testing.assert_close(made.unknown.grad, torch.ones(16))


def test_a_spectrum_is_read_by_its_shape_and_place(of_spectrum):
    flux, weight = lines()
    same = of_spectrum(7 * flux, weight / 49)
    torch.testing.assert_close(of_spectrum(flux, weight), same, rtol=1e-4, atol=1e-5)
    moved = of_spectrum(*lines(shift=8))
    assert (of_spectrum(flux, weight) - moved).abs().max() > 1e-3


def test_pixels_without_weight_are_not_read(of_spectrum):
    flux, weight = (part.clone() for part in lines())
    weight[:, 20:40] = 0
    kept = of_spectrum(flux, weight)
    flux[:, 20:40] = torch.nan
    torch.testing.assert_close(of_spectrum(flux, weight), kept, rtol=0, atol=0)


def test_a_galaxy_without_a_spectrum_gets_the_learned_vector(of_spectrum):
    flux, weight = (part.clone() for part in lines(n=2))
    weight[1] = 0
    known, unknown = of_spectrum(flux, weight)
    assert torch.equal(unknown, of_spectrum.unknown)
    assert not torch.equal(known, unknown)


def test_extreme_spectra_stay_finite(of_spectrum):
    flux, weight = lines()
    for factor in (0.0, 1e-20, 1e20):
        assert of_spectrum(factor * flux, weight).isfinite().all()


@pytest.fixture
def reader():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return RedshiftReader(GRID, 0.5)


def test_a_reader_tells_the_redshift_of_its_probabilities(reader):
    """Probabilities of a Gaussian around a place give its redshift back, and its width less the smoothing."""
    step = float(reader.shifts[1] - reader.shifts[0])
    shift, width = torch.log1p(torch.tensor(0.2)), 3.0 * step
    with torch.no_grad():
        last = reader.layers.head[-1]
        last.weight.zero_()
        last.bias.copy_(-0.5 * ((reader.shifts - shift) / width).square())
    redshift, error = reader(*lines(n=2))
    torch.testing.assert_close(redshift, torch.full((2,), 0.2), rtol=0, atol=1e-3)
    # Smoothed by 1.5 steps.
    torch.testing.assert_close(error / 1.2, torch.full((2,), step * (3.0**2 - 1.5**2) ** 0.5), rtol=0.05, atol=0)


def test_a_reader_takes_one_of_two_peaks_and_not_the_mean(reader):
    with torch.no_grad():
        last = reader.layers.head[-1]
        last.weight.zero_()
        last.bias.fill_(-20)
        last.bias[4], last.bias[18] = 0.0, -0.1
    redshift, _ = reader(*lines())
    torch.testing.assert_close(redshift, reader.shifts[4:5].expm1(), rtol=0, atol=1e-3)


def test_the_loss_of_a_reader_is_least_at_the_truth(reader):
    with torch.no_grad():
        last = reader.layers.head[-1]
        last.weight.zero_()
        last.bias.copy_(-0.5 * ((reader.shifts - 0.25) / 0.02).square())
        losses = [float(reader.loss(*lines(), torch.tensor([z]))) for z in (0.15, 0.284, 0.4)]
        beyond = reader.loss(*lines(n=2), torch.tensor([0.284, 0.9]))
    assert losses[1] < min(losses[0], losses[2])
    torch.testing.assert_close(float(beyond), losses[1])


def test_an_embedding_with_a_reader_hears_the_redshift():
    made = embedding("spectrum", grid=GRID, largest_redshift=0.5)
    flux, weight = lines()
    with torch.no_grad():
        before = made(flux, weight)
        last = made.reader.layers.head[-1]
        last.bias[10] += 50
        after = made(flux, weight)
    assert (after - before).abs().max() > 1e-3
    made(flux, weight).sum().backward()
    for name, parameter in made.named_parameters():
        if name.startswith("reader"):
            assert parameter.grad is None and not parameter.requires_grad, name
        elif parameter.requires_grad and name != "unknown":
            assert parameter.grad.abs().max() > 0, name


def test_a_reader_under_autocast_reads_alike(reader):
    with torch.no_grad():
        plain = reader(*lines())
        with torch.autocast("cpu", torch.bfloat16):
            low = reader(*lines())
    assert torch.equal(plain[0], low[0]) and torch.equal(plain[1], low[1])
