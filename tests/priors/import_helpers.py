"""What the tests of imported networks share: where recorded ones lie, and settings of tiny ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

SWIN: dict[str, Any] = {
    "channels_in": 3,
    "channels": 3,
    "width": 32,
    "multipliers": (1,),
    "blocks": (1,),
    "swin": (True,),
    "image_size": 8,
    "lq_stages": 0,
    "lq_channels": 3,
    "embedding": 32,
    "depth": 2,
    "heads": 2,
    "window": 4,
    "mlp_ratio": 2.0,
}
CODEC: dict[str, Any] = {
    "channels": 3,
    "width": 32,
    "multipliers": (1, 1, 2),
    "blocks": (1, 1, 1),
    "latent": 3,
    "embedding": 3,
    "codes": 16,
}


def recorded_nets() -> Path:
    """The folder of recorded networks; a skip that says so where nobody named it."""
    root = os.environ.get("RESTORE_REFERENCE")
    if not root:
        pytest.skip("RESTORE_REFERENCE is not set: this test needs the recorded networks under nets/")
    return Path(root) / "nets"
