"""The kinds of settings, what each makes of a value, and the rule that an annotation writes down."""

from __future__ import annotations

import collections.abc
import difflib
import math
import numbers
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Annotated, Any, Literal

from .ranges import Length, OneOf, Range

NO_RANGE, ANY_LENGTH = Range(), Length()


class Verdict(IntEnum):
    """Of one kind on one value; of several kinds the best verdict counts."""

    WRONG_KIND = 0
    WRONG_VALUE = 1
    FITS = 2


@dataclass(frozen=True)
class Number:
    """A finite number, or a whole one. True and False are none, and neither is text that reads like one."""

    whole: bool
    range: Range = NO_RANGE

    @property
    def name(self) -> str:
        return "whole number" if self.whole else "number"

    def judge(self, value: Any) -> Verdict:
        number: Any = value if isinstance(value, numbers.Real) else _single(value)
        if number is None or isinstance(number, bool) or (self.whole and not isinstance(value, numbers.Integral)):
            return Verdict.WRONG_KIND
        finite = isinstance(number, numbers.Integral) or math.isfinite(number)
        return Verdict.FITS if finite and self.range.holds(number) else Verdict.WRONG_VALUE

    def constrained(self, by: Any) -> Number:
        return replace(self, range=by) if isinstance(by, Range) else self

    def limits(self) -> str:
        return str(self.range)

    def wanted(self) -> str:
        """a whole number from 1 to 1000, a finite number above 0."""
        closed = self.range.low is not None and self.range.high is not None
        article = f"a {self.name}" if self.whole or self.range.is_bounded else f"a finite {self.name}"
        if not str(self.range):
            return article
        joint = "from " if closed else "of " if str(self.range).startswith("at ") else ""
        return f"{article} {joint}{self.range}"


@dataclass(frozen=True)
class Text:
    """Any text."""

    name: str = "text"

    def judge(self, value: Any) -> Verdict:
        return Verdict.FITS if isinstance(value, str) else Verdict.WRONG_KIND

    def constrained(self, by: Any) -> Text | Choice:
        return Choice(by) if isinstance(by, OneOf) else self

    def limits(self) -> str:
        return ""

    def wanted(self) -> str:
        return self.name


@dataclass(frozen=True)
class Choice:
    """One of some names, or of some whole numbers."""

    of: OneOf

    @property
    def name(self) -> str:
        return "text" if isinstance(self.of.names[0], str) else "whole number"

    def judge(self, value: Any) -> Verdict:
        alike = isinstance(value, type(self.of.names[0])) and not isinstance(value, bool)
        if not alike:
            return Verdict.WRONG_KIND
        return Verdict.FITS if value in self.of.names else Verdict.WRONG_VALUE

    def constrained(self, by: Any) -> Choice:
        return self

    def limits(self) -> str:
        return str(self.of)

    def wanted(self) -> str:
        return str(self.of)


@dataclass(frozen=True)
class Plain:
    """What is of one of these classes: true or false, nothing, a table."""

    name: str
    classes: tuple[type, ...]

    def judge(self, value: Any) -> Verdict:
        # numpy's own truth values are no subclass of bool.
        true_or_false = bool in self.classes and type(value).__name__ in ("bool", "bool_")
        return Verdict.FITS if true_or_false or isinstance(value, self.classes) else Verdict.WRONG_KIND

    def constrained(self, by: Any) -> Plain:
        return self

    def limits(self) -> str:
        return ""

    def wanted(self) -> str:
        return self.name


@dataclass(frozen=True)
class Items:
    """A list or tuple: each entry of one rule, or entry by entry of these."""

    rules: tuple[Rule, ...]
    repeated: bool
    length: Length = ANY_LENGTH

    @property
    def name(self) -> str:
        """list of whole numbers, list of at most 8 numbers, list of 2 numbers."""
        number = str(self.length) if self.repeated else str(len(self.rules))
        entries = f"{self.rules[0].name}s" if self.rules[0].name else "entries"
        return f"list of {number} {entries}" if number else f"list of {entries}" if self.rules[0].name else "list"

    def judge(self, value: Any) -> Verdict:
        if isinstance(value, str | bytes) or not isinstance(value, collections.abc.Sequence):
            return Verdict.WRONG_KIND
        most = math.inf if self.length.high is None else self.length.high
        right = self.length.low <= len(value) <= most if self.repeated else len(value) == len(self.rules)
        rules = self.rules * len(value) if self.repeated else self.rules
        verdicts = [each.judge(entry) for each, entry in zip(rules, value, strict=False)]
        return min(verdicts, default=Verdict.FITS) if right else Verdict.WRONG_VALUE

    def constrained(self, by: Any) -> Items:
        if isinstance(by, Length):
            return replace(self, length=by)
        return replace(self, rules=tuple(each.constrained(by) for each in self.rules))

    def limits(self) -> str:
        return self.rules[0].limits()

    def wanted(self) -> str:
        return f"a {self.name}" + (f", each {self.limits()}" if self.limits() else "")


@dataclass(frozen=True)
class Open:
    """What only the constructor can judge: an array, a function. Numbers, text and None are none of these."""

    name: str
    anything: bool = False

    def judge(self, value: Any) -> Verdict:
        if self.anything:
            return Verdict.FITS
        scalar = value is None or isinstance(value, bool | numbers.Number | str | bytes)
        # numpy's own True is none of these, and no array either.
        scalar = scalar or (getattr(value, "ndim", None) == 0 and type(value).__name__ not in ("ndarray", "Tensor"))
        return Verdict.WRONG_KIND if scalar else Verdict.FITS

    def constrained(self, by: Any) -> Open:
        return self

    def limits(self) -> str:
        return ""

    def wanted(self) -> str:
        return f"{'an' if self.name[:1] in 'aeiou' else 'a'} {self.name}"


Kind = Number | Text | Choice | Plain | Items | Open


# -- from an annotation to a rule -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """The kinds that a setting may be of, and its meaning."""

    kinds: tuple[Kind, ...]
    meaning: str = ""

    def judge(self, value: Any) -> Verdict:
        return max(kind.judge(value) for kind in self.kinds)

    def is_number(self, value: Any) -> bool:
        """Whether the value is taken for a number."""
        return any(isinstance(kind, Number) and kind.judge(value) is Verdict.FITS for kind in self.kinds)

    def is_whole(self, value: Any) -> bool:
        """Whether the value is taken for a whole number, or for something that is no number at all."""
        fitting = [kind for kind in self.kinds if kind.judge(value) is Verdict.FITS]
        return not fitting or any(not isinstance(kind, Number) or kind.whole for kind in fitting)

    def constrained(self, by: Any) -> Rule:
        return replace(self, kinds=tuple(kind.constrained(by) for kind in self.kinds))

    @property
    def names(self) -> tuple[Any, ...]:
        """All names that it allows."""
        return tuple(name for kind in self.kinds if isinstance(kind, Choice) for name in kind.of.names)

    @property
    def name(self) -> str:
        """number or none; empty where anything goes."""
        if any(isinstance(kind, Open) and kind.anything for kind in self.kinds):
            return ""
        return _either([kind.name for kind in self.kinds])

    def limits(self) -> str:
        """1 to 1000; above 0; one of: quad, uniform; empty without a range."""
        return " or ".join(dict.fromkeys(filter(None, (kind.limits() for kind in self.kinds))))

    def wanted(self) -> str:
        """a whole number from 1 to 1000, or none."""
        return ", or ".join(dict.fromkeys(kind.wanted() for kind in self.kinds))


ANYTHING = Rule((Open("value", anything=True),))
_PLAIN: Mapping[Any, Kind] = {
    int: Number(whole=True),
    float: Number(whole=False),
    str: Text(),
    bool: Plain("true or false", (bool,)),
    type(None): Plain("none", (type(None),)),
}
_LISTS = (list, tuple, collections.abc.Sequence)


def rule(annotation: Any) -> Rule:
    """What an annotation says: plain kinds, unions and lists of them, Literal, Annotated with the words above."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        inner = rule(parts[0])
        for word in parts[1:]:
            inner = replace(inner, meaning=word) if isinstance(word, str) else inner.constrained(word)
        return inner
    if origin in (typing.Union, types.UnionType):
        rules = [rule(part) for part in parts]
        kinds = dict.fromkeys(kind for each in rules for kind in each.kinds)
        return Rule(tuple(kinds), next((each.meaning for each in rules if each.meaning), ""))
    if origin is Literal:
        return Rule((Choice(OneOf(parts)),))
    if annotation is None or annotation in _PLAIN:
        return Rule((_PLAIN[type(None) if annotation is None else annotation],))
    if (origin or annotation) in _LISTS:
        return Rule((_items(parts),))
    if (origin or annotation) in (dict, collections.abc.Mapping):
        return Rule((Plain("table", (collections.abc.Mapping,)),))
    if annotation in (Any, object) or not isinstance(origin or annotation, type):
        return ANYTHING
    name = (origin or annotation).__name__
    return Rule((Open("array" if name in ("Tensor", "ndarray") else name),))


def _items(parts: tuple[Any, ...]) -> Items:
    if not parts:
        return Items((ANYTHING,), repeated=True)
    repeated = len(parts) == 1 or parts[-1] is Ellipsis
    return Items(tuple(rule(part) for part in parts if part is not Ellipsis), repeated)


def closest(value: Any, names: Sequence[Any]) -> str:
    """Did you mean 'quad'? Empty where nothing is near."""
    near = difflib.get_close_matches(value, [n for n in names if isinstance(n, str)], n=1) if names else []
    return f"Did you mean {near[0]!r}?" if near else ""


def _single(value: Any) -> Any:
    """The number of an array or tensor without axes; None for anything else."""
    if getattr(value, "ndim", None) != 0 or not hasattr(value, "item"):
        return None
    number = value.item()
    return number if isinstance(number, numbers.Real) and not isinstance(number, bool) else None


def _either(words: Sequence[str]) -> str:
    unique = list(dict.fromkeys(words))
    return " or ".join(filter(None, (", ".join(unique[:-1]), unique[-1])))
