import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from astro_galtrans.evaluation import contact_sheet, evaluate
from astro_galtrans.evaluation._summary import contrast, differences, in_words, limits, remarks, summary
from astro_galtrans.pairs import PairSet
from astro_galtrans.surveys import get_survey

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

SDSS = get_survey("SDSS")


class Scaled:
    conditioning = None
    hash = "0123456789abcdef"

    def __init__(self, name, spread):
        self.name, self.spread, self.input_survey, self.target_survey = name, spread, SDSS, SDSS
        self.provenance = {"config": {"spread": spread, "seed": 0}}
        self.gives_uncertainty, self.gives_gradient_weights = True, spread <= 0.1

    @property
    def history(self):
        from astropy.table import Table
        return Table({"epoch": [0, 1], "train_loss": [2.0, 1.0], "valid_loss": [2.0, 1.5]})

    def translate_array(self, flux, weight=None, redshift=None):
        shift = self.spread * np.random.default_rng(0).normal(size=(1000, 5, 1, 1))[:len(flux)]
        return flux * (1 + shift).astype(np.float32)

    def translate_array_with_uncertainty(self, flux, **options):
        out = self.translate_array(flux, **options)
        return out, np.full_like(out, 0.1)

    def gradient_weights(self, input_flux, target_flux):
        weight = np.ones_like(target_flux)
        return {"x": weight[..., 1:], "y": weight[..., 1:, :], "passband": weight[:, 1:]}


class Judge:
    def predict(self, flux, weight=None):
        sums = np.maximum(np.asarray(flux, dtype=float).sum(axis=(2, 3)), 1e-3)
        value = 0.2 - np.log10(sums[:, 1] / sums[:, 2])
        return type("PDF", (), {"mean": lambda self: value})()


@pytest.fixture(scope="module")
def evaluation():
    rng = np.random.default_rng(1)
    n = 60
    redshift = rng.uniform(0.1, 0.3, n)
    y, x = np.indices((24, 24)) - 11.5
    colors = np.stack([10**(0.2 - redshift) if band < 2 else np.ones(n) for band in range(5)], axis=1)
    flux = 30 * np.exp(-np.hypot(x, y) / 4) * colors[..., None, None]
    images = [(flux + 0.05 * rng.normal(size=flux.shape)).astype(np.float32) for _ in range(2)]
    pairs = PairSet.from_arrays(*images, input_survey="SDSS", target_survey="SDSS", redshift=redshift,
                                target_weight=np.full(flux.shape, 400, np.float32))
    translators = {"conventional": Scaled("conventional", 0.3), "ours <b>": Scaled("ours", 0.01)}
    return evaluate(translators, pairs, estimator=Judge(), n_bootstrap=100, n_shown=2)


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.images, self.links, self.ids, self.text, self.tags = [], [], set(), "", []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        if tag == "img":
            self.images.append(attrs)
        self.links += [attrs[key] for key in ("href", "src") if key in attrs]
        if "id" in attrs:
            self.ids.add(attrs["id"])

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def page(evaluation, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    evaluation.write_report(path, title="A & B", command="galtrans demo", timing={"training": "12 s"})
    reader = Reader()
    reader.source = path.read_text(encoding="utf-8")
    reader.feed(reader.source)
    reader.folder = path.parent
    return reader


def test_every_figure_is_in_the_report_with_its_alt_text(evaluation, page):
    names = set(evaluation.figures())
    assert names == {"gallery", "redshift", "redshift_scatter", "color_errors", "color_gradients", "weights",
                     "peaks", "uncertainty", "training"}
    assert {f"figure-{name}" for name in names} <= page.ids
    assert len(page.images) == len(names)
    assert all(len(image["alt"]) > 30 and image["src"].startswith("data:image/") for image in page.images)


def test_report_needs_nothing_from_outside(page):
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert not re.search(r"https?://|url\(|@import", page.source)
    assert "script" not in page.tags and "link" not in page.tags
    assert [link for link in page.links if link.startswith("#") and link[1:] not in page.ids] == []
    assert [path.name for path in page.folder.iterdir()] == ["report.html"]


def test_report_states_the_run_and_escapes_what_it_is_given(evaluation, page):
    for words in ("A & B", "galtrans demo", "12 s", "ours <b>", "spread", "NMAD", "Preservation gain", "0.01",
                  f"{evaluation.tables['redshift']['nmad'][0]:.4f}"):
        assert words in page.text
    assert "<caption>" in page.source and page.source.count("<table>") >= 6


def test_words_follow_the_sign(evaluation):
    marks = {finding["heading"]: finding["mark"] for finding in summary(evaluation)}
    assert marks["Redshift, transfer"] == "wins" and marks["Colors"] == "wins"
    rows, n_same = differences(evaluation)
    assert ("spread", ["0.3", "0.01"]) in rows and n_same > 0
    assert in_words("color scatter u-g") == "color scatter u\u2060\u2212\u2060g"


def test_finished_images_are_named_as_such(evaluation, tmp_path):
    before = dict(evaluation.meta["translators"])
    evaluation.meta["translators"]["conventional"] = {
        **before["conventional"], "kind": "images", "provenance": {}, "hash": None}
    try:
        assert ["conventional" in sentence for sentence in remarks(evaluation)] == [True]
        rows, _ = differences(evaluation)
        assert rows == []  # a single translator differs from nothing
        evaluation.write_report(tmp_path / "report.html")
        assert "conventional is a set of finished images" in (tmp_path / "report.html").read_text(encoding="utf-8")
    finally:
        evaluation.meta["translators"].update(before)


def test_an_estimator_that_answers_one_redshift_is_named(evaluation):
    assert not any("almost the same redshift" in sentence for sentence in limits(evaluation))
    label = "conventional, transfer"
    original = evaluation.redshift[label]
    evaluation.redshift[label] = np.full(len(original), 0.2)
    try:
        assert sum("almost the same redshift" in sentence and label in sentence for sentence in limits(evaluation)) == 1
    finally:
        evaluation.redshift[label] = original


def test_simulated_galaxies_are_called_so(evaluation, page, tmp_path, monkeypatch):
    assert "simulated" not in page.text
    monkeypatch.setitem(evaluation.meta, "simulated", True)
    evaluation.write_report(tmp_path / "report.html")
    reader = Reader()
    reader.feed((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "These are 60 simulated galaxies" in " ".join(reader.text.partition("Contents")[0].split())
    assert "real target" not in reader.text and "simulated target" in reader.text
    captions = reader.text.split("How to read it.")[1:]
    assert len(captions) == 9 and all("imulated" in caption[:120] for caption in captions)
    for name, figure in evaluation.figures().items():
        texts = [figure._suptitle, *(legend.get_title() for legend in figure.legends),
                 *(axis.title for axis in figure.axes)]
        assert any("imulated" in text.get_text() for text in texts if text is not None), name


def test_page_fits_a_phone(page):
    assert 'name="viewport" content="width=device-width' in page.source
    assert page.source.count('class="scroll') >= page.source.count("<table")
    widths = {image["alt"][:10]: int(image["width"]) for image in page.images}
    assert sum(width > 480 for width in widths.values()) <= 2  # the galleries, which scroll


def test_all_that_differs_is_named(evaluation, monkeypatch):
    assert contrast(evaluation) == ""
    about = {name: dict(entry) for name, entry in evaluation.meta["translators"].items()}
    for entry, objective, residual in zip(about.values(), ("pixel", "gradient"), (False, True)):
        entry.update(objective=objective, residual=residual, photometry=residual,
                     provenance={"best_epoch": 2 + residual})
    monkeypatch.setitem(evaluation.meta, "translators", about)
    assert "objective: pixel / gradient; residual path: no / yes; photometry head: no / yes" in contrast(evaluation)
    assert ("best_epoch", ["3", "4"]) in differences(evaluation)[0]


def test_short_bars_keep_their_labels(evaluation):
    figure = evaluation.figures()["redshift"]
    figure.draw_without_rendering()
    for axis in figure.axes:
        right = axis.get_window_extent().x1
        assert len(axis.texts) == len(evaluation.tables["redshift"])
        bars = [patch.get_window_extent().x1 for patch in axis.patches]
        for text, bar in zip(axis.texts, bars):
            extent = text.get_window_extent()
            assert bar <= extent.x0 and extent.x1 <= right


def test_same_evaluation_same_report(evaluation, page, tmp_path):
    path = tmp_path / "again.html"
    evaluation.write_report(path, title="A & B", command="galtrans demo", timing={"training": "12 s"})
    assert path.read_text(encoding="utf-8") == page.source


def test_folder_that_is_not_there(evaluation, tmp_path):
    with pytest.raises(FileNotFoundError, match="folder"):
        evaluation.write_report(tmp_path / "missing" / "report.html")


@pytest.mark.parametrize("module", ["matplotlib", "jinja2"])
def test_missing_extra_is_named(evaluation, monkeypatch, tmp_path, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"astro_galtrans\[report\]"):
        evaluation.write_report(tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_importing_evaluation_loads_no_optional_package():
    code = "import astro_galtrans.evaluation, sys; print({'jinja2', 'matplotlib', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr


def test_contact_sheet(tmp_path, evaluation):
    from matplotlib.image import imread

    flux = evaluation.samples["input_flux"]
    path = tmp_path / "sheet.png"
    contact_sheet([(image, 2 * image) for image in flux], path, ["a", "b"], surveys=("SDSS", "SDSS"), title="Two")
    assert imread(path).ndim == 3 and path.stat().st_size > 2000
    with pytest.raises(ValueError, match="surveys"):
        contact_sheet([(flux[0],)], path)
    with pytest.raises(ValueError, match="labels"):
        contact_sheet([(flux[0],)], path, ["a", "b"], surveys=("SDSS",))
    with pytest.raises(ValueError, match="no galaxy"):
        contact_sheet([], path)
