"""Another name of `restore.metrics`, for the scripts that know it: the same module object."""

from __future__ import annotations

import sys

import restore.metrics

sys.modules[__name__] = restore.metrics
