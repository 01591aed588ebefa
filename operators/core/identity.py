"""The operator of denoising."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .base import SVD, ComplexPictures, Isometry, Shape


class Identity(Isometry):
    """A = I: the measurement is the picture, and only noise has fallen on it.

    input_shape: any, without the batch.
    """

    def __init__(self, input_shape: Shape, *, complex_values: ComplexPictures = False) -> None:
        super().__init__(input_shape, input_shape, complex_input=complex_values, complex_output=complex_values)

    def _forward(self, x: Tensor) -> Tensor:
        return x.clone()  # a measurement that is written to must not change the picture

    def _adjoint(self, y: Tensor) -> Tensor:
        return y.clone()

    @property
    def svd(self) -> SVD:
        """U = V = I, all singular values 1."""

        def flatten(x: Tensor) -> Tensor:
            return x.flatten(1)

        def shape(c: Tensor) -> Tensor:
            return c.reshape(c.shape[0], *self.input_shape)

        s = torch.ones(math.prod(self.input_shape), dtype=torch.float64)
        return SVD(s=s, U=shape, Ut=flatten, V=shape, Vt=flatten)
