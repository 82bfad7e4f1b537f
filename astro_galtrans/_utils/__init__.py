"""Small private helpers that every subpackage may use."""
