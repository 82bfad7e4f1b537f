"""Compare redshifts from the spectrum encoder of a translator with those of SDSS and DESI.

    python benchmarks/real_spectra.py TRANSLATOR.asdf spec-0266-51602-0013.fits coadd-4-80613-thru20210324.fits ...

A file ``coadd-*.fits`` of one DESI target needs its ``redrock-*.fits`` in the same folder.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from astropy.io import fits
from astropy.table import Table

from astro_galtrans.spectra import read_spectrum, resample_spectra
from astro_galtrans.storage import load


def survey_redshift(path):
    """Return the redshift of the pipeline of the survey, from the file or the one next to it."""
    path = Path(path)
    if path.name.startswith("coadd-"):
        path = path.with_name(path.name.replace("coadd-", "redrock-", 1))
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
    spectra = [read_spectrum(path) for path in options.spectra]
    flux, weight = map(torch.from_numpy, resample_spectra(spectra, translator.spectrum_grid))
    with torch.no_grad():
        read, error = (values.numpy() for values in reader(flux, weight))
    known = np.array([survey_redshift(path) for path in options.spectra])
    table = Table([[Path(path).name for path in options.spectra], known, read, error, (read - known) / (1 + known)],
                  names=["spectrum", "survey", "read", "error", "dz"])
    for name in table.colnames[1:]:
        table[name].format = ".4f"
    print("\n".join(table.pformat(max_lines=-1, max_width=-1)))


if __name__ == "__main__":
    main()
