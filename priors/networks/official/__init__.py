"""Networks in the layouts of released checkpoints: their key names, their arithmetic, our code."""
