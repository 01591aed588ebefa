"""Pictures on another grid: reduction, enlargement, separable matrices."""
