"""Error bars that hold: conformal bounds, ranks, spread factors, variances without sampling, data against prior."""
