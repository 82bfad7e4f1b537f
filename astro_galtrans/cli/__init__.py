"""The ``galtrans`` command. Each verb calls one public function; what it needs is imported only when it runs."""

from astro_galtrans.cli._main import main

__all__ = ["main"]
