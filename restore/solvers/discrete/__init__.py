"""Solvers on masked discrete priors: the picture is tokens, of which more and more become known."""
