"""A measurement with the physics that made it: everything a solver may know about y."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, replace
from typing import Any, overload

import torch
from torch import Tensor

import operators.noise
from operators import BadInput, BadType, image_id
from operators.common.space import IDENTITY, Affine, Latent, Space
from operators.core.base import LinearOperator, Operator
from operators.core.posing import InSpace
from operators.noise import NoiseModel

from .recipe import Recipe


@dataclass(frozen=True)
class Problem:
    """y = noise(A(x)), in the units of the picture.

    y: B x output_shape of the operator, finite; half precision becomes single.
    operator: A. noise: the law of y given A(x).
    truth: B x input_shape where it is known (simulation), else None.
    image_ids: one name per batch entry on which its random draws depend; default: hash of the truth, or of y.
    recipe: how y came about, from which `restore rerun` can build the operator again; None for one made in a script.
    space: the units of the operator's input: x_picture = space.to(x). y_scale: by how much y was divided when the
    problem was brought there. Both are set by `posed`.
    prior_level: standard deviation of white noise, in the units of y, that a solver with a prior is told in place of
    the noise's own, where that is correlated (`restore.noise_doctor`). Chi-square keeps to `noise`.
    copies: how often each picture stands in the batch; entry s * pictures + k is copy s of picture k, see `repeated`.
    """

    y: Tensor
    operator: Operator
    noise: NoiseModel
    truth: Tensor | None = field(default=None, repr=False)
    image_ids: tuple[str, ...] = ()
    recipe: Recipe | None = field(default=None, repr=False)
    space: Space = field(default=IDENTITY, repr=False)
    y_scale: float = field(default=1.0, repr=False)
    copies: int = field(default=1, repr=False)
    prior_level: float | None = None

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
        if self.recipe is not None:  # a result file's plain table is read
            object.__setattr__(self, "recipe", Recipe.read(self.recipe))
        if not self.image_ids:
            pictures = self.y if self.truth is None else self.truth
            object.__setattr__(self, "image_ids", tuple(image_id(entry) for entry in pictures))
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

    @overload
    def posed(self, space: Space, /) -> Problem: ...
    @overload
    def posed(self, shift: float, scale: float, /) -> Problem: ...
    def posed(self, space: Space | float, scale: float = 1.0, /) -> Problem:
        """The same problem for z, where x = space.to(z); two numbers are shift and scale of an `Affine`.

        Linear operator and Gaussian noise stay so where they can. x = shift + scale * z: y' = (y - A(shift 1)) / scale,
        sigma' = sigma / scale, A unchanged. x = offset + D z with a linear decoder D: y' = y - A(offset), A' = A D.
        Otherwise A'(z) = A(space.to(z)), noise and y unchanged. A latent problem has no truth: its pictures have.
        """
        where = space if isinstance(space, Space) else Affine(space, scale)
        moved = self
        for part in where.parts:
            moved = moved._posed(part)
        return moved

    def _posed(self, part: Space) -> Problem:
        truth = None if self.truth is None or not isinstance(part, Affine) else part.back(self.truth)
        whole = self.space @ part
        if not isinstance(self.operator, LinearOperator) or not isinstance(self.noise, operators.noise.Gaussian):
            return replace(self, operator=InSpace(self.operator, part), truth=truth, space=whole)
        if isinstance(part, Affine):
            y = self._keep((self.y - self._image(part.shift)) / part.scale)
            noise = operators.noise.Gaussian(sigma=self.noise.sigma / part.scale)
            level = None if self.prior_level is None else self.prior_level / part.scale
            moved = replace(self, y=y, noise=noise, truth=truth, space=whole, y_scale=self.y_scale * part.scale)
            return replace(moved, prior_level=level)
        if isinstance(part, Latent) and isinstance(part.decode, LinearOperator):
            y = self.y if part.has_no_offset else self._keep(self.y - self._image(part.offset))
            return replace(self, y=y, operator=self.operator @ part.decode, truth=None, space=whole)
        return replace(self, operator=InSpace(self.operator, part), truth=None, space=whole)

    def _image(self, level: float | Tensor) -> Tensor:
        """A of a constant, or of one picture (C x H x W)."""
        ones = torch.ones((1, *self.operator.input_shape), dtype=_real(self.y), device=self.y.device)
        image: Tensor = self.operator(ones * (level if isinstance(level, int | float) else level.to(ones)))
        return image

    @property
    def shift(self) -> float:
        """Of x_picture = shift + scale * x; BadInput for a latent problem."""
        if not isinstance(self.space, Affine):
            raise BadInput("the problem is posed for latents, which have no shift", do="Use problem.space.")
        return self.space.shift

    @property
    def scale(self) -> float:
        """What noise levels of x are multiplied by to be those of pictures (1 for latents)."""
        return self.space.scale

    @property
    def file_units(self) -> Affine:
        """The unit of the picture's file: x = file_units.to(x_file); the identity where the recipe says nothing."""
        return IDENTITY if self.recipe is None else self.recipe.file_units

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was decided when the problem was posed."""
        return () if self.recipe is None else self.recipe.notes

    def in_file_units(self) -> Problem:
        """The same problem for the picture in its file's unit."""
        return self.posed(self.file_units)

    def gaussian(self) -> Problem:
        """Itself under Gaussian noise; otherwise with the Gaussian of the same mean variance in the noise's place."""
        if isinstance(self.noise, operators.noise.Gaussian):
            return self
        return replace(self, noise=operators.noise.Gaussian(sigma=self.sigma))

    def for_prior(self) -> Problem:
        """Itself under the white noise that a prior is to be told; itself where that is the noise's own level."""
        if self.prior_level is None:
            return self
        return replace(self, noise=operators.noise.Gaussian(sigma=self.prior_level), prior_level=None)

    def to(self, device: torch.device | str) -> Problem:
        """The problem with its arrays and operator on a device."""
        truth = None if self.truth is None else self.truth.to(device)
        return replace(self, y=self.y.to(device), operator=self.operator.to(device), truth=truth)

    # -- batches of draws -------------------------------------------------------------------------------------------

    def part(self, pictures: range) -> Problem:
        """Some of the pictures, under the noise level of all of them."""
        if len(pictures) == len(self.y):
            return self
        rows = slice(pictures.start, pictures.stop)
        truth = None if self.truth is None else self.truth[rows]
        part = replace(self, y=self.y[rows], truth=truth, image_ids=self.image_ids[rows])
        if isinstance(self.noise, operators.noise.Gaussian):
            return part
        # The level of another law is a mean over pictures; it must not depend on how they are shared out.
        return _Piece(**{f.name: getattr(part, f.name) for f in dataclasses.fields(Problem)}, level=self.sigma)

    def repeated(self, copies: int) -> Problem:
        """The problem with every picture `copies` times in the batch; a single picture is repeated without a copy."""
        if copies == 1:
            return self
        truth = None if self.truth is None else _repeated(self.truth, copies)
        return replace(
            self,
            y=_repeated(self.y, copies),
            truth=truth,
            image_ids=self.image_ids * copies,
            copies=self.copies * copies,
        )

    @property
    def once(self) -> Problem:
        """The problem with every picture once in the batch: for work that is the same for all copies."""
        if self.copies == 1:
            return self
        count = len(self.y) // self.copies
        truth = None if self.truth is None else self.truth[:count]
        return replace(self, y=self.y[:count], truth=truth, image_ids=self.image_ids[:count], copies=1)

    def for_each_copy(self, values: Tensor) -> Tensor:
        """Values of the pictures, each once (pictures x ...), for every entry of the batch (B x ...).

        Without a copy where there is one picture: do not write into them.
        """
        return values if self.copies == 1 else _repeated(values, self.copies)

    def by_picture(self, values: Tensor) -> Tensor:
        """A batch (B x ...) with an axis for the copies: copies x pictures x ..., a view."""
        return values.reshape(self.copies, len(values) // self.copies, *values.shape[1:])

    def _keep(self, values: Tensor) -> Tensor:
        observed = self.operator.observed
        return values if observed is None else torch.where(observed.to(values.device), values, torch.zeros_like(values))

    def _mean(self, values: Tensor) -> Tensor:
        """Mean over observed entries of each picture (B)."""
        return self._keep(values).flatten(1).sum(1) / self.observed_count


@dataclass(frozen=True)
class _Piece(Problem):
    """Some pictures of a problem whose noise level was found from all of them."""

    level: float = 0.0

    @property
    def sigma(self) -> float:
        return self.level


def _repeated(values: Tensor, copies: int) -> Tensor:
    return (
        values.expand(copies, *values.shape[1:])
        if len(values) == 1
        else values.repeat(copies, *[1] * (values.ndim - 1))
    )


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
