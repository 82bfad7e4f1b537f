"""Redshifts that a translator's reader finds in real SDSS spectra, beside those of the survey.

    python benchmarks/real_spectra.py TRANSLATOR.asdf spec-0266-51602-0013.fits ...
"""

import argparse
import warnings

import numpy as np
import torch
from astropy.io import fits
from astropy.table import Table
from specutils import Spectrum

from astro_galtrans.spectra import resample_spectra
from astro_galtrans.storage import load


def survey_redshift(path):
    """The redshift that the SDSS pipeline gives in the file."""
    with fits.open(path) as file:
        return next(float(hdu.data["Z"][0]) for hdu in file[1:] if hdu.columns and "Z" in hdu.columns.names)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("translator")
    parser.add_argument("spectra", nargs="+")
    options = parser.parse_args()
    translator = load(options.translator)
    reader = None if translator.conditioning != "spectrum" else translator.network.condition.reader
    if reader is None:
        raise SystemExit(f"{options.translator} has no reader of redshifts")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units that the files spell in ways of their own
        spectra = [Spectrum.read(path) for path in options.spectra]
    flux, weight = map(torch.from_numpy, resample_spectra(spectra, translator.spectrum_grid))
    with torch.no_grad():
        read, error = (values.numpy() for values in reader(flux, weight))
    known = np.array([survey_redshift(path) for path in options.spectra])
    table = Table([options.spectra, known, read, error, (read - known) / (1 + known)],
                  names=["spectrum", "survey", "read", "error", "dz"])
    for name in table.colnames[1:]:
        table[name].format = ".4f"
    print("\n".join(table.pformat(max_lines=-1, max_width=-1)))


if __name__ == "__main__":
    main()
