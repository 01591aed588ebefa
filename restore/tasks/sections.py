"""The sections of a task file, typed: plain data, no tensors; what a name takes its registry says.

[operator], [noise], [prior], [solver] and [baseline] are open: beside `name` they hold parameters of what it names.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from operators.common.forms import Component, Form, read
from priors.files.words import with_settings

UnitName = Literal["[0,1]", "reflectance", "hu", "magnitude", "complex"]


class PriorChoice(Component):
    """The prior of the default solver: its name, what fits it to other pictures, and parameters of the prior itself."""

    name: str = Field(default="natural", description="name in the registry of priors, or a safetensors file")
    adapter: str | Component | None = Field(
        default=None,
        description="what fits the prior to other pictures: 'bands', 'window(0,0.04)', or a table with its name",
    )

    @property
    def spelled(self) -> str:
        """Name, parameters and adapter in one word, as `--prior` takes them: natural:window(0,0.04)."""
        word = with_settings(self.name, self.parameters)
        if self.adapter is None:
            return word
        adapter = self.adapter
        return f"{word}:{adapter if isinstance(adapter, str) else with_settings(adapter.name, adapter.parameters)}"


class SolverSettings(Form):
    """[solvers.NAME]: settings of another solver for this task, and the prior it needs."""

    model_config = ConfigDict(extra="allow")

    prior: str | None = Field(default=None, description="name of the prior that this solver uses")

    @property
    def parameters(self) -> dict[str, Any]:
        """The settings, without the prior."""
        return dict(self.model_extra or {})


class Storage(Form):
    """How y is stored. Without `bits` it is kept as computed."""

    bits: int | None = Field(default=None, ge=1, le=16, description="depth of the stored measurement")


class InputForm(Form):
    """Which pictures the task takes."""

    unit: UnitName = Field(default="[0,1]", description="unit of the values in the file")
    crop_to_multiple: int = Field(default=1, ge=1, description="sides are cropped to its multiples, from the top left")
    normalise: bool | None = Field(default=None, description="divide by the largest magnitude")
    measured: bool = Field(
        default=False, description="the file is the measurement: as with --measured, its noise level unknown"
    )
    mu_water: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="attenuation of water in 1/mm, for hu"
    )


class Quick(Form):
    """A small setting for tests."""

    images: int = Field(default=2, ge=1, description="number of pictures")
    size: int = Field(default=64, ge=1, description="side of the pictures in pixels")


def _standard_metrics() -> dict[str, str]:
    return {"psnr": "psnr[rgb,clip,peak=1]", "ssim": "ssim[gauss1.5,rgb]", "lpips": "lpips[alex,v0.1]"}


class Sections(Form):
    """All that a task file says, defaults filled in."""

    version: int = Field(ge=1, description="raised when numbers would change")
    summary: str = Field(description="one line for the table of tasks")
    source: str = Field(default="", description="paper or data set that defines the task")
    operator: Component = Field(description="the physics, from `restore operators`")
    noise: Component = Field(description="the law of the noise, from `restore noise`")
    measurement: Storage = Storage()
    input: InputForm = InputForm()
    prior: PriorChoice = PriorChoice()
    solver: Component = Field(description="the default solver and its settings for this task")
    solvers: dict[str, SolverSettings] = Field(default={}, description="settings of other solvers, by name")
    baseline: Component = Component(name="measurement")
    metrics: dict[str, str] = Field(
        default_factory=_standard_metrics,
        description="convention of each score, a metric's name such as 'psnr[rgb,clip,peak=1]'",
    )
    quick: Quick = Quick()


def parse(text: str, *, where: str) -> Sections:
    """A task file's text, typed, with defaults filled in; BadInput or BadType with a suggestion otherwise."""
    return read(Sections, text, where=where, guide="docs/tasks.md")
