"""Released checkpoints become priors: read safely, recognised by their keys, checked, converted, stored."""
