"""Contests between forward operators and their peers, one file per family; each has `contests(size)`."""
