"""How good an estimate is, in numbers anyone can re-run: metrics, comparisons, and the runs behind the leaderboards."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, {"metrics", "peers"})
