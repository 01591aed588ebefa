"""One file per command of `restore`; each has `register(app)`. Nothing heavy is imported before a command runs."""
