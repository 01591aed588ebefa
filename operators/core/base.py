"""The names that an operator's file starts from."""

from .differentiation import full_precision
from .linear import SVD, LinearOperator
from .operator import Operator
from .shapes import ComplexPictures, Shape, check_rho, check_shape

__all__ = [
    "SVD",
    "ComplexPictures",
    "LinearOperator",
    "Operator",
    "Shape",
    "check_rho",
    "check_shape",
    "full_precision",
]
