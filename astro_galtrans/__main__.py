"""``python -m astro_galtrans`` is the ``galtrans`` command."""

import sys

from astro_galtrans.cli import main

if __name__ == "__main__":
    sys.exit(main())
