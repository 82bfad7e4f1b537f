"""What translators are given beside the images when they are judged, and how often generative ones are asked."""

from types import SimpleNamespace

import numpy as np
import pytest

from astro_galtrans.evaluation import evaluate
from astro_galtrans.pairs import PairSet
from astro_galtrans.spectra import SpectrumGrid
from astro_galtrans.surveys import get_survey

SDSS = get_survey("SDSS")
GRID = SpectrumGrid(4000, 9000, 8)
SIZE = 33


def make_pairs(n=12, seed=0, redshift=True, spectra=True, unknown=0, grid=GRID, start=0):
    """Round galaxies, seen twice with noise; of the last ``unknown`` neither redshift nor spectrum is known."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    clean = rng.uniform(3, 10, n)[:, None, None, None] * np.exp(-0.2 * np.hypot(x, y)) * np.ones((5, 1, 1))
    sigma = SDSS.sky_noise[:, None, None]
    images = [clean + sigma * rng.normal(size=clean.shape) for _ in range(2)]
    z = rng.uniform(0.05, 0.4, n)
    flux = np.arange(start, start + n)[:, None] * np.ones((n, grid.n_pixels))
    weight = np.ones_like(flux)
    if unknown:
        z[-unknown:], weight[-unknown:] = np.nan, 0
    options = {"redshift": z, "redshift_error": 0.01 * np.arange(n)} if redshift else {}
    if spectra:
        options |= {"spectra": (flux, weight), "spectrum_grid": grid}
    return PairSet.from_arrays(*images, input_survey="SDSS", target_survey="SDSS", **options,
                               target_weight=np.broadcast_to(sigma**-2.0, clean.shape),
                               ids=np.arange(start, start + n))


class Told:
    """A translator that changes nothing and remembers what it was told."""

    name, input_survey, target_survey, hash = "told", SDSS, SDSS, "0123456789abcdef"

    def __init__(self, conditioning, takes_unknown=True, grid=GRID):
        self.conditioning, self.takes_unknown, self.heard = conditioning, takes_unknown, []
        self.gives_gradient_weights = True
        self.spectrum_grid = grid if conditioning == "spectrum" else None

    def translate_array(self, flux, weight=None, **told):
        self.heard.append(told)
        return np.asarray(flux)

    def gradient_weights(self, input_flux, target_flux, **told):
        self.heard.append({**told, "weights": True})
        return {"x": np.ones_like(target_flux)}


class Sampler:
    """A translator that knows the galaxies and draws the noise of their images."""

    name, input_survey, target_survey, conditioning, objective_name = "sampler", SDSS, SDSS, None, "denoising"
    hash = "fedcba9876543210"

    generative = gives_uncertainty = True
    backbone = "diffusion"

    def __init__(self):
        self.drawn = []

    def translate_array(self, flux, **options):
        return self.translate_array_with_uncertainty(flux, **options)[0]

    def translate_array_with_uncertainty(self, flux, weight=None, n_samples=None, seed=None, galaxies=None):
        self.drawn.append((seed, n_samples, tuple(galaxies)))
        rng = np.random.default_rng([seed, galaxies[0]])
        y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
        profile = np.exp(-0.2 * np.hypot(x, y))
        clean = ((flux * profile).sum((2, 3)) / (profile**2).sum())[..., None, None] * profile
        sigma = SDSS.sky_noise[:, None, None]
        samples = clean + sigma * rng.normal(size=(n_samples, *flux.shape))
        spread = samples.std(0, ddof=1) if n_samples > 1 else sigma * np.ones(flux.shape)
        return samples.mean(0).astype(np.float32), spread


def heard(told, name):
    """What was told in the pass over the test galaxies."""
    return np.concatenate([one[name] for one in told.heard[:3]])


@pytest.fixture
def judges(monkeypatch):
    """An estimator that answers at once."""
    estimator = SimpleNamespace(predict=lambda flux, weight=None: SimpleNamespace(mean=lambda: np.full(len(flux), 0.2)))
    monkeypatch.setattr("astro_galtrans.photoz.fit_redshift_estimator", lambda *arguments, **options: estimator)


def test_redshifts_and_their_errors_are_told():
    told, test = Told("redshift"), make_pairs(unknown=2)
    evaluate(told, test, n_bootstrap=0, batch_size=4)
    np.testing.assert_array_equal(heard(told, "redshift"), test.redshift)
    np.testing.assert_array_equal(heard(told, "redshift_error"), test.redshift_error)
    assert all(set(one) - {"weights"} == {"redshift", "redshift_error"} for one in told.heard)
    assert any("weights" in one for one in told.heard)


def test_spectra_are_told():
    told, test = Told("spectrum"), make_pairs(unknown=2, redshift=False)
    evaluate(told, test, n_bootstrap=0, batch_size=4)
    flux, weight = (np.concatenate([one["spectrum"][part] for one in told.heard[:3]]) for part in (0, 1))
    np.testing.assert_array_equal(flux, test.spectrum_flux)
    np.testing.assert_array_equal(weight, test.spectrum_weight)


def test_nothing_is_told_that_is_not_asked_for():
    told = Told(None)
    evaluate(told, make_pairs(), n_bootstrap=0)
    assert all(not set(one) - {"weights"} for one in told.heard)


def test_training_galaxies_are_told_too(judges):
    told, training = Told("spectrum"), make_pairs(start=50, seed=1)
    evaluate(told, make_pairs(), training=training, n_bootstrap=0)
    assert any(np.array_equal(one["spectrum"][0], training.spectrum_flux) for one in told.heard)
    with pytest.raises(ValueError, match="'told' needs a spectrum, and the training pairs have none"):
        evaluate(told, make_pairs(), training=make_pairs(spectra=False), n_bootstrap=0)


@pytest.mark.parametrize("conditioning, takes_unknown, test, message", [
    ("redshift", True, {"redshift": False}, "'told' needs a redshift, and the test pairs have none"),
    ("spectrum", True, {"spectra": False}, "'told' needs a spectrum, and the test pairs have none"),
    ("redshift", False, {"unknown": 3}, "takes none without; 3 of the 12 test pairs have none"),
    ("spectrum", False, {"unknown": 3}, "takes none without; 3 of the 12 test pairs have none"),
    ("spectrum", True, {"grid": SpectrumGrid(4000, 9000, 9)}, "takes spectra on .*n_pixels=8.* are on .*n_pixels=9"),
    ("mood", True, {}, "conditioned on 'mood'"),
])
def test_pairs_that_lack_what_is_needed(conditioning, takes_unknown, test, message):
    told = Told(conditioning, takes_unknown)
    with pytest.raises(ValueError, match=message):
        evaluate(told, make_pairs(**test), n_bootstrap=0)
    assert told.heard == []


def test_samples_have_noise_of_their_own():
    """Each galaxy is drawn with its own number; the same seed gives the same images, and a mean less noise."""
    results = {}
    for name, n_samples, seed in (("one", 1, 3), ("again", 1, 3), ("other", 1, 4), ("mean", 20, 3)):
        sampler = Sampler()
        results[name] = evaluate(sampler, make_pairs(), n_bootstrap=0, batch_size=4, n_samples=n_samples, seed=seed)
        asked = sampler.drawn[:3]
        numbers = [number for _, _, galaxies in asked for number in galaxies]
        assert numbers == list(range(len(numbers)))
        assert {one[:2] for one in asked} == {(seed, n_samples)}
    chi2 = {name: result.tables["pixels"] for name, result in results.items()}
    chi2 = {name: np.median(table["chi2"][table["image"] == "sampler"]) for name, table in chi2.items()}
    assert chi2["one"] == chi2["again"] != chi2["other"]
    assert chi2["one"] == pytest.approx(2, rel=0.1) and chi2["mean"] == pytest.approx(1.05, rel=0.1)
    with pytest.raises(ValueError, match="n_samples must be at least 1, got 0"):
        evaluate(Sampler(), make_pairs(), n_samples=0)


def test_training_galaxies_do_not_share_the_noise_of_test_galaxies(judges):
    sampler = Sampler()
    evaluate(sampler, make_pairs(), training=make_pairs(start=50, seed=1), n_bootstrap=0)
    numbers = {number for _, _, galaxies in sampler.drawn for number in galaxies}
    test, training = ({number for number in numbers if (number < 2**32) == side} for side in (True, False))
    assert test == set(range(len(make_pairs()))) and len(training) == len(make_pairs())


def test_spread_of_samples_covers_the_target():
    """The samples imitate the noise of the target image, which is not to be counted twice."""
    table = evaluate(Sampler(), make_pairs(30), n_bootstrap=0, n_samples=100).tables["uncertainty"]
    assert np.allclose(table["coverage_68"][table["region"] == "all pixels"], 0.68, atol=0.02)


def test_report_says_how_each_was_judged(tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    translators = {"plain": Told(None), "spectral": Told("spectrum"), "drawn": Sampler()}
    evaluation = evaluate(translators, make_pairs(), n_bootstrap=0, n_samples=2, n_shown=1)
    about = evaluation.meta["translators"]["drawn"]
    assert {name: about[name] for name in ("backbone", "objective", "residual", "conditioning", "samples")} == {
        "backbone": "diffusion", "objective": "denoising", "residual": None, "conditioning": None, "samples": 2}
    evaluation.write_report(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    table = text.partition("The translators</h3>")[2].partition("</table>")[0]
    for words in ("<td>drawn</td><td>diffusion</td><td>denoising</td>", "spectrum", '<td class="number">2</td>'):
        assert words in table
    assert "The mean of 2 was evaluated" in text and "spectral: conditioned on more than the image" in text
    evaluation.meta["translators"]["drawn"]["samples"] = 1
    evaluation.write_report(tmp_path / "report.html")
    assert "One was evaluated for each galaxy" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_translator_that_is_sampled_from(sampling_translator, small_pairs):
    result = evaluate(sampling_translator, small_pairs.select(slice(0, 4)), n_bootstrap=0, n_samples=2, n_shown=1)
    assert result.failed == {sampling_translator.name: 0}
    assert result.meta["translators"][sampling_translator.name]["samples"] == 2


def test_a_translator_that_takes_spectra(spectrum_translator, small_pairs):
    result = evaluate(spectrum_translator, small_pairs.select(slice(0, 4)), n_bootstrap=0, n_shown=1)
    assert result.failed == {spectrum_translator.name: 0}
    other = SpectrumGrid(3600, 10000, 32)
    pairs = small_pairs.select(slice(0, 4))
    pairs.spectrum_flux, pairs.spectrum_weight, pairs.spectrum_grid = (
        pairs.spectrum_flux[:, :32], pairs.spectrum_weight[:, :32], other)
    with pytest.raises(ValueError, match="takes spectra on"):
        evaluate(spectrum_translator, pairs, n_bootstrap=0)
