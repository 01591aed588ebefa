"""Pixels that were not measured."""
