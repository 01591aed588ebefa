"""The names that an operator's file starts from."""

from .differentiation import full_precision
from .linear import SVD, Isometry, LinearOperator, PartialIsometry
from .operator import Operator
from .shapes import ComplexPictures, Shape, check_rho, check_shape

__all__ = [
    "SVD",
    "ComplexPictures",
    "Isometry",
    "LinearOperator",
    "Operator",
    "PartialIsometry",
    "Shape",
    "check_rho",
    "check_shape",
    "full_precision",
]
