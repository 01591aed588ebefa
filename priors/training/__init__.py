"""Training: one loop for every objective, data sources, and the recipes behind the embedded weights."""
