"""Reading and writing every format, with metadata: one reader per format family, chosen by the file's first bytes.

image = restore.io.read("photo.png")            # image.data: C x H x W float32, image.meta: what the file said
restore.io.write("out.png", image.data, bits=16)
restore.io.write_native("out/estimate", estimate, image.meta)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .atomic import atomic_path
    from .errors import ReadError, WriteError
    from .folders import Pairs, expand, holds_one, pair_by_stem
    from .formats import FORMATS
    from .image import Image, Metadata
    from .numpy_arrays import read_array
    from .reading import read
    from .sizes import Extent, check_head, extent
    from .source import MAX_PIXELS
    from .writing import write, write_native

# Loaded at first use: the command line needs `atomic_path` and folder names without waiting for torch.
__getattr__, _, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "atomic": ["atomic_path"],
        "errors": ["ReadError", "WriteError"],
        "sizes": ["Extent", "check_head", "extent"],
        "folders": ["Pairs", "expand", "holds_one", "pair_by_stem"],
        "formats": ["FORMATS"],
        "image": ["Image", "Metadata"],
        "numpy_arrays": ["read_array"],
        "reading": ["read"],
        "source": ["MAX_PIXELS"],
        "writing": ["write", "write_native"],
    },
)

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "Extent",
    "Image",
    "Metadata",
    "Pairs",
    "ReadError",
    "WriteError",
    "atomic_path",
    "check_head",
    "expand",
    "extent",
    "holds_one",
    "pair_by_stem",
    "read",
    "read_array",
    "write",
    "write_native",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
