"""Observing conditions as an input of networks."""

import pytest
import torch

from astro_galtrans.backbones import NetworkConfig, Observing, ObservingEmbedding, sky_noise

RANGES = {"psf_fwhm": [[1.0, 1.3, 1.7]] * 3, "noise": [[0.015, 0.02, 0.027]] * 3,
          "target_psf_fwhm": [[0.6, 0.8, 1.0]] * 3}


def fwhm(value, n=2):
    return torch.full((n, 3), value)


def test_noise_is_that_of_the_sky_in_pixels_with_data():
    weight = torch.full((2, 3, 6, 6), 4.0)
    weight[0, 0, :2] = 0
    weight[0, 1, 2:4, 2:4] = 0.1  # photons of a source
    weight[1, 2] = 0
    noise = sky_noise(weight)
    assert noise.isnan().nonzero().tolist() == [[1, 2]]
    assert torch.equal(noise[noise.isfinite()], torch.full((5,), 0.5))


def test_the_unknown_is_not_the_median():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        embedding = ObservingEmbedding(8, RANGES)
    known, unknown = (embedding(Observing(fwhm(value), fwhm(0.02), fwhm(0.8)), 2) for value in (1.3, torch.nan))
    assert known.shape == (2, 8) and not torch.allclose(known, unknown)
    nothing = Observing(*[fwhm(torch.nan)] * 3)
    for other in (None, Observing()):
        assert torch.equal(embedding(nothing, 2), embedding(other, 2))
    far, farther = (embedding(Observing(fwhm(value)), 2) for value in (20.0, 200.0))
    assert torch.equal(far, farther)


def test_a_network_takes_them_beside_a_redshift(make_network, randn):
    network = make_network(conditioning="redshift", observing=RANGES, photometry=True)
    flux, condition = randn(2, 3, 12, 12), (torch.tensor([0.1, 0.2]), torch.zeros(2))
    images = [network(flux, (26, 26), condition, observing=one).flux for one in (
        None, Observing(target_psf_fwhm=fwhm(0.7)), Observing(target_psf_fwhm=fwhm(0.9)))]
    assert all(image.isfinite().all() for image in images)
    assert not torch.equal(images[1], images[0]) and not torch.equal(images[1], images[2])
    with pytest.raises(ValueError, match="observing must be None"):
        make_network()(flux, (26, 26), observing=Observing())


def test_files_of_networks_without_them_are_as_before(make_network):
    assert "observing" not in make_network().options
    config = make_network(observing=RANGES).config
    assert NetworkConfig.from_dict(config.to_dict()).observing == RANGES
    for wrong in ({"noise": [[0.3, 0.2, 0.1]]}, {"noise": [[0.0, 0.1, 0.2]]}, {"noise": [[1.0, 2.0]]}):
        with pytest.raises(ValueError, match="observing must have three increasing numbers"):
            make_network(observing=wrong)
    with pytest.raises(ValueError, match="observing must have one or more of psf_fwhm"):
        make_network(observing={"seeing": [[0.1, 0.2, 0.3]]})
