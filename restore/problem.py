"""A measurement with the physics that made it: everything a solver may know about y."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

import operators.noise
from operators import BadInput, BadType, image_id
from operators.core.base import LinearOperator, Operator
from operators.noise import NoiseModel


@dataclass(frozen=True)
class Problem:
    """y = noise(A(x)), in the units of the picture.

    y: B x output_shape of the operator, finite; half precision becomes single.
    operator: A. noise: the law of y given A(x).
    truth: B x input_shape where it is known (simulation), else None.
    image_ids: one name per batch entry on which its random draws depend; default: hash of the truth, or of y.
    recipe: plain data from which `restore rerun` can build the operator again, or None.
    shift, scale: units of the picture seen from the picture's own: x_image = shift + scale * x. Set by `posed`.
    """

    y: Tensor
    operator: Operator
    noise: NoiseModel
    truth: Tensor | None = field(default=None, repr=False)
    image_ids: tuple[str, ...] = ()
    recipe: Mapping[str, Any] | None = field(default=None, repr=False)
    shift: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.operator, Operator):
            raise BadType(f"operator is {type(self.operator).__name__}", wanted="an operators.Operator")
        if not isinstance(self.noise, NoiseModel):
            raise BadType(f"noise is {type(self.noise).__name__}", wanted="a model from operators.noise")
        _check_data(self.y, self.operator.output_shape, "y")
        object.__setattr__(self, "y", _at_least_single(self.y))
        if self.truth is not None:
            _check_data(self.truth, self.operator.input_shape, "truth")
            object.__setattr__(self, "truth", _at_least_single(self.truth))
            if self.truth.shape[0] != self.y.shape[0]:
                raise BadInput(f"truth has {self.truth.shape[0]} pictures", wanted=f"{self.y.shape[0]}, as many as y")
        if not self.image_ids:
            named = self.y if self.truth is None else self.truth
            object.__setattr__(self, "image_ids", tuple(image_id(entry) for entry in named))
        if len(self.image_ids) != self.y.shape[0]:
            raise BadInput(f"{len(self.image_ids)} image ids", wanted=f"{self.y.shape[0]}, one for each picture")

    # -- what solvers ask -----------------------------------------------------------------------------------------

    @property
    def linear(self) -> LinearOperator:
        """The operator, known to be linear; BadType otherwise."""
        if not isinstance(self.operator, LinearOperator):
            raise BadType(
                f"{type(self.operator).__name__} is not linear",
                do="Choose a solver for non-linear operators: gradient, dps or red-diff.",
            )
        return self.operator

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise (of its Gaussian stand-in for another law), in the units of y."""
        if isinstance(self.noise, operators.noise.Gaussian):
            return float(self.noise.sigma)
        if not len(self.y):
            return 0.0
        variance = self.noise.variance(self.y)
        return float(torch.sqrt(self._mean(variance)).mean())

    @property
    def observed_count(self) -> int:
        """Measured numbers per picture."""
        observed = self.operator.observed
        shape = self.operator.output_shape
        return torch.Size(shape).numel() if observed is None else int(observed.expand(shape).sum())

    def residual(self, x: Tensor) -> Tensor:
        """y - A(x), zero where nothing was observed (B x output_shape)."""
        return self._keep(self.y - self.operator(x))

    def log_likelihood(self, x: Tensor) -> Tensor:
        """log p(y | x) of each picture (B), summed over observed entries."""
        return self._keep(self.noise.log_likelihood(self.y, self.operator(x))).flatten(1).sum(1)

    def likelihood_gradient(self, x: Tensor) -> Tensor:
        """grad_x log p(y | x) (B x input_shape)."""
        with torch.inference_mode(False), torch.enable_grad():
            point = (x.clone() if x.is_inference() else x).detach().requires_grad_()
            return torch.autograd.grad(self.log_likelihood(point).sum(), point)[0]

    def whitened(self, x: Tensor) -> Tensor:
        """(y - A(x)) / standard deviation of the noise at A(x); BadInput where the noise has none."""
        clean = self.operator(x)
        variance = self.noise.variance(clean)
        if bool((variance <= 0).any()):
            raise BadInput("the measurement has no noise to whiten by", do="Give a noise model with sigma > 0.")
        return self._keep((self.y - clean) / variance.sqrt())

    def chi2(self, x: Tensor) -> float | None:
        """Mean squared whitened residual over observed entries: about 1 for a right answer. None without noise."""
        return None if self.sigma == 0 else float(self.chi2_each(x).mean())

    def chi2_each(self, x: Tensor) -> Tensor:
        """Mean squared whitened residual of each picture (B); BadInput without noise."""
        return self._mean(self.whitened(x).abs() ** 2)

    # -- units ----------------------------------------------------------------------------------------------------

    def posed(self, shift: float, scale: float) -> Problem:
        """The same problem for z, where x = shift + scale * z.

        Linear operator and Gaussian noise: y' = (y - A(shift 1)) / scale, sigma' = sigma / scale, A unchanged.
        Otherwise: A'(z) = A(shift + scale z), noise and y unchanged.
        """
        if (shift, scale) == (0.0, 1.0):
            return self
        truth = None if self.truth is None else (self.truth - shift) / scale
        if isinstance(self.operator, LinearOperator) and isinstance(self.noise, operators.noise.Gaussian):
            ones = torch.full((1, *self.operator.input_shape), shift, dtype=_real(self.y), device=self.y.device)
            y = self._keep((self.y - self.operator(ones)) / scale)
            noise = operators.noise.Gaussian(sigma=self.noise.sigma / scale)
            moved = replace(self, y=y, noise=noise, truth=truth)
        else:
            moved = replace(self, operator=InUnits(self.operator, shift=shift, scale=scale), truth=truth)
        return replace(moved, shift=self.shift + self.scale * shift, scale=self.scale * scale)

    def gaussian(self) -> Problem:
        """Itself under Gaussian noise; otherwise with the Gaussian of the same mean variance in the noise's place."""
        if isinstance(self.noise, operators.noise.Gaussian):
            return self
        return replace(self, noise=operators.noise.Gaussian(sigma=self.sigma))

    def to(self, device: torch.device | str) -> Problem:
        """The problem with its arrays and operator on a device."""
        truth = None if self.truth is None else self.truth.to(device)
        return replace(self, y=self.y.to(device), operator=self.operator.to(device), truth=truth)

    def _keep(self, values: Tensor) -> Tensor:
        observed = self.operator.observed
        return values if observed is None else torch.where(observed.to(values.device), values, torch.zeros_like(values))

    def _mean(self, values: Tensor) -> Tensor:
        """Mean over observed entries of each picture (B)."""
        return self._keep(values).flatten(1).sum(1) / self.observed_count


class InUnits(Operator):
    """A'(z) = A(shift + scale z)."""

    def __init__(self, operator: Operator, *, shift: float, scale: float) -> None:
        super().__init__(
            operator.input_shape,
            operator.output_shape,
            complex_input=operator.complex_input,
            complex_output=operator.complex_output,
        )
        self.operator, self.shift, self.scale = operator, shift, scale

    def _forward(self, x: Tensor) -> Tensor:
        return self.operator(self.shift + self.scale * x)  # type: ignore[no-any-return]

    def vjp(self, x: Tensor, u: Tensor) -> Tensor:
        return self.scale * self.operator.vjp(self.shift + self.scale * x, u)

    def direct(self, y: Tensor) -> Tensor:
        return (self.operator.direct(y) - self.shift) / self.scale

    @property
    def observed(self) -> Tensor | None:
        return self.operator.observed


def _real(data: Tensor) -> torch.dtype:
    return data.real.dtype if data.is_complex() else data.dtype


def _at_least_single(data: Tensor) -> Tensor:
    return data.to(torch.promote_types(data.dtype, torch.float32))


def _check_data(data: Any, shape: tuple[int, ...], name: str) -> None:
    if not isinstance(data, Tensor) or not (data.is_floating_point() or data.is_complex()):
        raise BadType(f"{name} is {getattr(data, 'dtype', type(data).__name__)}", wanted="a floating-point tensor")
    if tuple(data.shape[1:]) != tuple(shape):
        raise BadInput(f"{name} has shape {tuple(data.shape)}", wanted=f"B x {' x '.join(map(str, shape))}")
    finite = torch.isfinite(torch.view_as_real(data) if data.is_complex() else data)
    if not bool(finite.all()):
        first = tuple(int(i) for i in (~finite).nonzero()[0])
        raise BadInput(
            f"{name} holds {int((~finite).sum())} NaN or infinite values, the first at {first}",
            do="Repair them, or mark them as missing with a mask operator.",
        )
