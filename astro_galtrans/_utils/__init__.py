"""Helpers shared by all subpackages, private."""
