"""Side-by-side runs against published methods; each module is a command, `python -m benchmarks.peers.NAME`."""
