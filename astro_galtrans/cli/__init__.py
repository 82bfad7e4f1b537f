"""The ``galtrans`` command. Each subcommand calls one public function and imports what it needs when it runs."""

from astro_galtrans.cli._main import main

__all__ = ["main"]
