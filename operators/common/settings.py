"""What a setting may be, said once, in its annotation; one checker refuses the rest, in one dialect.

    steps: Annotated[int, Range(1, 1000), "network calls"] = 20
    sigma: Annotated[float, Range(0), "standard deviation, in the units of y"] = 0.1
    rule: Annotated[Literal["variance", "norm"], "how the guidance is scaled"] = "variance"
    filter: Annotated[str, OneOf(FILTERS), "kernel of the reduction"] = "bicubic"
    rho: Annotated[Positive | None, "strength of the penalty; None: by the discrepancy principle"] = None

A class of settings (a frozen dataclass), or one built by a constructor with keyword-only parameters (an operator, a
prior), derives from `Checked`; a function is decorated with `checked`. Whatever is constructed, by name or by hand, is
then held against its annotations. What has the wrong kind (text, True or a fraction for a whole number) is BadType;
NaN, infinities, numbers out of range and unknown names, with the closest one, are BadInput. The text names the
setting, its value and what was wanted.

A class that is no plain kind (a tensor, an array, a function) leaves its values to the constructor: `float | Tensor`
takes a number of the declared range, or any array. What ties two settings together stays in the constructor too, and
speaks through `above` and `at_most`. Numbers of numpy and torch without axes become plain numbers. Annotations are read
at first use, and once. `operators.common.described` prints the same ranges.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from .errors import BadInput, BadType
from .kinds import ANYTHING, Rule, Verdict, closest, rule
from .ranges import Length, OneOf, Range

__all__ = [
    "Checked",
    "Count",
    "Deviation",
    "Fraction",
    "Length",
    "Natural",
    "NotNegative",
    "OneOf",
    "Photons",
    "Positive",
    "Range",
    "Seed",
    "Steps",
    "TrueDeviation",
    "above",
    "at_most",
    "check",
    "check_room",
    "checked",
    "rules",
    "shown",
]

Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(0)]
Fraction = Annotated[float, Range(0, 1)]
Count = Annotated[int, Range(1)]
Natural = Annotated[int, Range(0)]
Steps = Annotated[int, Range(1, 10**6, text="1 to a million")]  # of a loop: nobody waits for more
Deviation = Annotated[float, Range(0, 1e15)]  # of noise: its square is a number in single precision
TrueDeviation = Annotated[float, Range(above=0, high=1e15, text="above 0, at most 1e+15")]
Photons = Annotated[float, Range(1e-9, 1e15)]  # what a generator of counts can draw, and its square hold
Seed = Annotated[int, Range(0, 2**63 - 1, text="0 to 2^63 - 1"), "seed of all random choices"]

ROOM = 2**25  # numbers of an array that settings ask for: 256 MB in double precision
LONG = 120  # characters of a value that an error shows

Function = TypeVar("Function", bound=Callable[..., Any])


class Checked:
    """Base of what is constructed from settings: each one is held against its annotation.

    Of a dataclass all fields are, before a `__post_init__` of its own runs; of another class the keyword-only
    parameters of its constructor that were given, before the constructor runs.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = vars(cls)
        if "__init__" in own:
            setattr(cls, "__init__", checked(own["__init__"]))  # noqa: B010
        if "__post_init__" in own:
            setattr(cls, "__post_init__", _after_fields(own["__post_init__"]))  # noqa: B010

    def __post_init__(self) -> None:
        _check_fields(self)


def checked(function: Function) -> Function:
    """The function, holding the keyword-only arguments that are given against their annotations."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None or not code.co_kwonlyargcount:
        return function

    @functools.wraps(function)
    def holding(*data: Any, **settings: Any) -> Any:
        allowed = rules(function)
        return function(*data, **{k: _held(k, v, allowed[k]) if k in allowed else v for k, v in settings.items()})

    return holding  # type: ignore[return-value]


def check(name: str, value: Any, annotation: Any, *, where: str = "") -> Any:
    """The value; BadType or BadInput, naming the setting, unless it is what the annotation (or a rule) says."""
    return _held(name, value, annotation if isinstance(annotation, Rule) else _rule_of(annotation), where=where)


def above(name: str, value: float, other: str, bound: float) -> None:
    """BadInput unless one setting is above another one."""
    if not value > bound:
        raise BadInput(f"{name} is {value!r}", wanted=f"above {other}, which is {bound!r}")


def at_most(name: str, value: float, other: str, bound: float) -> None:
    """BadInput unless one setting is at most another one."""
    if not value <= bound:
        raise BadInput(f"{name} is {value!r}", wanted=f"at most {other}, which is {bound!r}")


def check_room(name: str, *sizes: float, most: int = ROOM) -> None:
    """BadInput for an array of these sizes, which `name` asks for, with more than `most` numbers."""
    if not math.prod(sizes) <= most:
        asked = " x ".join(f"{size:.6g}" for size in sizes)
        raise BadInput(f"{name} asks for an array of {asked} numbers", wanted=f"at most {most:.2g}")


@functools.lru_cache(maxsize=1024)
def rules(target: Callable[..., Any]) -> Mapping[str, Rule]:
    """The rules of the parameters of a function, a dataclass or a constructor, by name."""
    if isinstance(target, type) and dataclasses.is_dataclass(target):
        fields = [f for f in dataclasses.fields(target) if f.init]
        return {f.name: rule(_resolved(f.type, _names_around(target, f.name))) for f in fields}
    function = inspect.unwrap(inspect.getattr_static(target, "__init__") if isinstance(target, type) else target)
    names = getattr(function, "__globals__", {})
    parameters = inspect.signature(target).parameters.values()
    return {p.name: ANYTHING if p.annotation is p.empty else rule(_resolved(p.annotation, names)) for p in parameters}


def _held(name: str, value: Any, allowed: Rule, *, where: str = "") -> Any:
    """The value, a plain number where it is one of numpy's or torch's; BadType or BadInput unless it is allowed."""
    verdict = allowed.judge(value)
    if verdict is Verdict.FITS:
        plain = value.item() if getattr(value, "ndim", None) == 0 and allowed.is_number(value) else value
        # The square of a large whole number fits no array; as a number it does.
        return float(plain) if type(plain) is int and abs(plain) >= 2**31 and not allowed.is_whole(plain) else plain
    error = BadType if verdict is Verdict.WRONG_KIND else BadInput
    message = f"{name} is {shown(value)}" + (f" for {where}" if where else "")
    near = closest(value, allowed.names) if isinstance(value, str) else ""
    raise error(message, wanted=allowed.wanted(), do=near)


def shown(value: Any) -> str:
    """A value as an error tells it: itself, or its class and shape where it is long."""
    text = repr(value)
    if len(text) <= LONG:
        return text
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__} of shape {tuple(shape)}" if shape is not None else f"{text[:LONG]}..."


def _check_fields(settings: object) -> None:
    of: Callable[..., Any] = type(settings)
    for name, allowed in rules(of).items():
        value = getattr(settings, name)
        held = _held(name, value, allowed)
        if held is not value:
            object.__setattr__(settings, name, held)


def _after_fields(own: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(own)
    def both(self: Any) -> None:
        _check_fields(self)
        own(self)

    return both


def _names_around(target: type, name: str) -> dict[str, Any]:
    """The module's names where the field was declared."""
    for base in target.__mro__:
        if name in vars(base).get("__annotations__", {}):
            return getattr(sys.modules.get(base.__module__), "__dict__", {})
    return {}


def _resolved(annotation: Any, names: dict[str, Any]) -> Any:
    """The annotation itself; one whose names are there for type checkers alone leaves the value to the constructor."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, names)
    except (NameError, AttributeError):
        return Any


@functools.lru_cache(maxsize=4096)
def _rule_of(annotation: Any) -> Rule:
    return rule(annotation)
