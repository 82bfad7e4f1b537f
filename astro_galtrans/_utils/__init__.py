"""Helpers that all subpackages share; private."""
