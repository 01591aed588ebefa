"""What a user says of a measurement from elsewhere: one description for the command line, maps and scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from operators.common.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Given:
    """Parameters of a measurement as the user states them; None is unsaid. An array may be the file that holds it.

    sigma: standard deviation of Gaussian noise, or "estimate". peak: of Poisson noise. kernel: h x w, of a blur.
    mask: H x W, nonzero = measured. shape: C x H x W of the picture where y does not tell it. nan_as_mask: NaN marks
    what was not measured. arrays: other array parameters of the operator, by name.
    """

    sigma: float | str | None = None
    peak: float | None = None
    kernel: Tensor | Path | None = None
    mask: Tensor | Path | None = None
    shape: tuple[int, ...] | None = None
    nan_as_mask: bool = False
    arrays: Mapping[str, Tensor | Path] = field(default_factory=dict)

    @classmethod
    def worded(
        cls,
        *,
        sigma: str | None = None,
        peak: float | None = None,
        kernel: Path | None = None,
        mask: Path | None = None,
        shape: str | None = None,
        nan_as_mask: bool = False,
        arrays: Sequence[str] = (),
    ) -> Given:
        """The same in the words of the command line: sigma and shape as text, arrays as KEY=FILE."""
        return cls(
            sigma=None if sigma is None else _sigma(sigma),
            peak=peak,
            kernel=kernel,
            mask=mask,
            shape=None if shape is None else _shape(shape),
            nan_as_mask=nan_as_mask,
            arrays=dict(_named_file(pair) for pair in arrays),
        )

    def refuse_without_measured(self, *, do: str) -> None:
        """BadInput where anything was said: it is said of a measurement, and the input is a picture."""
        words = {
            "sigma": self.sigma,
            "peak": self.peak,
            "kernel": self.kernel,
            "mask": self.mask,
            "shape": self.shape,
            "array": self.arrays or None,
            "nan-as-mask": self.nan_as_mask or None,
        }
        if stray := [f"--{key}" for key, value in words.items() if value is not None]:
            raise BadInput(f"{', '.join(stray)} given without --measured", do=do)

    def loaded(self) -> Given:
        """The same with every file read."""
        return replace(
            self,
            kernel=_picture(self.kernel),
            mask=_picture(self.mask),
            arrays={key: _as_stored(value) for key, value in self.arrays.items()},
        )

    @property
    def parts(self) -> dict[str, Tensor]:
        """The arrays of the operator by name, kernel and mask among them; BadInput where a file was not loaded."""
        parts: dict[str, Tensor] = {}
        for key, value in {"kernel": self.kernel, "mask": self.mask, **self.arrays}.items():
            if isinstance(value, Path):
                raise BadInput(f"{key} is the file {value}", wanted="its array", do="Read it with Given.loaded().")
            if value is not None:
                parts[key] = value
        return parts


def _picture(source: Tensor | Path | None) -> Tensor | None:
    """A kernel or mask; of a file, any with one array of numbers."""
    if not isinstance(source, Path):
        return source
    from .. import io

    if source.suffix.lower() in (".npy", ".npz"):
        array = io.read_array(source)
        if array.ndim == 1:  # lines of a mask
            return _as_stored(source)
    data = io.read(source, unit="counts").data
    opaque = data[:-1] if data.shape[0] in (2, 4) else data  # transparency says nothing here
    return opaque[0] if opaque.shape[0] == 1 else opaque


def _as_stored(source: Tensor | Path) -> Tensor:
    """An array of any number of axes."""
    if not isinstance(source, Path):
        return source
    import torch

    from .. import io

    return torch.from_numpy(io.read_array(source))


def _sigma(text: str) -> float | str:
    if text == "estimate":
        return text
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"--sigma is {text!r}", wanted="a number in the units of the picture, or 'estimate'") from None


def _shape(text: str) -> tuple[int, ...]:
    parts = text.replace("x", ",").split(",")
    if not all(part.strip().isdigit() for part in parts) or len(parts) not in (3, 4):
        raise BadInput(f"--shape is {text!r}", wanted="C,H,W such as 3,256,256, or C,D,H,W for a volume")
    return tuple(int(part) for part in parts)


def _named_file(pair: str) -> tuple[str, Path]:
    key, equals, path = pair.partition("=")
    if not equals or not key or not path:
        raise BadInput(f"--array {pair!r} is not KEY=FILE", do="Write it like --array maps=maps.npy.")
    return key, Path(path)
