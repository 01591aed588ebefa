"""What `restore doctor` finds out: versions, devices, weights, the embedded prior, an operator of the user's own."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from operators import BadInput, RestoreError

REQUIRED = ("torch", "numpy", "scipy", "scikit-image", "pillow", "kornia", "pywavelets", "lpips", "piq", "h5py")
REQUIRED_TOO = ("typer", "rich", "jinja2", "pooch", "safetensors", "tifffile", "pypng", "lazy-loader")
OPTIONAL = {"deepinv": "side-by-side runs with deepinv: pip install 'restore[peers]'"}
MODULES = {
    "scikit-image": "skimage",
    "pillow": "PIL",
    "pywavelets": "pywt",
    "pypng": "png",
    "lazy-loader": "lazy_loader",
}
NETS = {"lpips": "alex", "lpips-vgg": "vgg"}


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it stands, and what to do where it is not well."""

    name: str
    state: Literal["ok", "absent", "wrong"]
    text: str


def examine() -> list[Finding]:
    """Everything that a bug report needs to say and a new user needs to know."""
    from .. import __version__

    findings = [
        Finding("restore", "ok", __version__),
        Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
    ]
    findings += [_package(name) for name in (*REQUIRED, *REQUIRED_TOO)]
    findings += [_package(name, hint) for name, hint in OPTIONAL.items()]
    findings += [_processor(), _devices()]
    findings += [_folder(name) for name in ("RESTORE_DATA", "RESTORE_WEIGHTS", "RESTORE_REFERENCE")]
    findings += [_features(name, net) for name, net in NETS.items()]
    return [*findings, _guarded("prior natural", _natural)]


def fetch(name: str) -> Finding:
    """Download the features of a metric; Unavailable (with URL and manual placement) where that fails."""
    from ..metrics import features

    if name not in NETS:
        raise BadInput(f"nothing to fetch under {name!r}", do=f"Known: {', '.join(NETS)}.")
    return Finding(name, "ok", f"in {features.fetch(NETS[name])}")


def check_operator(place: str) -> list[Finding]:
    """Findings of `operators.check` on NAME of a Python file, which is executed: it is the user's."""
    from operators import check
    from operators.core.base import Operator

    file, _, name = place.rpartition(":")
    if not file or not name:
        raise BadInput(f"--operator {place!r}", wanted="FILE:NAME, such as my_physics.py:Blur")
    target = _load(Path(file), name)
    operator = target if isinstance(target, Operator) else _call(target, place)
    if not isinstance(operator, Operator):
        raise BadInput(f"{place} is {type(operator).__name__}", wanted="an operators.Operator, or what makes one")
    verdict = check(operator)
    title = f"{name} {operator.extra_repr()}"
    if verdict.ok:
        return [Finding(title, "ok", str(verdict))]
    return [Finding(title, "wrong", problem) for problem in verdict.findings]


def _load(path: Path, name: str) -> Any:
    if not path.is_file():
        raise BadInput(f"no file {path}", do="Check the path.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        public = [key for key in vars(module) if not key.startswith("_")]
        raise BadInput(f"{path} has no {name!r}", do=f"It has: {', '.join(public[:10])}.")
    return getattr(module, name)


def _call(make: Callable[..., Any], place: str) -> Any:
    """An operator class or function: called with nothing, or with a small colour picture's shape."""
    if not callable(make):
        raise BadInput(f"{place} is {type(make).__name__}", wanted="an operators.Operator, or what makes one")
    import inspect

    needed = [
        p for p in inspect.signature(make).parameters.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD
    ]
    return make((3, 24, 20)) if needed else make()


def _package(name: str, hint: str = "") -> Finding:
    """Whether a package is there and can be imported; one that fails in any way only loses its own feature."""
    try:
        version = importlib.metadata.version(name)
        module = importlib.import_module(MODULES.get(name, name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "absent" if hint else "wrong", hint or f"missing: pip install {name}")
    except Exception as error:  # noqa: BLE001 - a broken package may raise anything at import
        return Finding(name, "absent" if hint else "wrong", f"{version} is broken ({type(error).__name__}: {error})")
    return Finding(name, "ok", str(getattr(module, "__version__", version)))


def _processor() -> Finding:
    from priors.training.loop import fast_bfloat16

    half = "bfloat16 in hardware" if fast_bfloat16("cpu") else "no bfloat16 in hardware: float32 is used"
    return Finding(
        "processor", "ok", f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads, {half}"
    )


def _devices() -> Finding:
    names = [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return Finding("devices", "ok", ", ".join(["cpu", *names]))


def _folder(variable: str) -> Finding:
    value = os.environ.get(variable)
    if not value:
        return Finding(variable, "absent", "not set; it names a folder that is searched before any download")
    return Finding(
        variable, "ok" if Path(value).is_dir() else "wrong", value if Path(value).is_dir() else f"{value} is no folder"
    )


def _features(name: str, net: str) -> Finding:
    from ..metrics import features

    status = features.status(net)
    if status.path is not None:
        return Finding(f"{name} features", "ok", str(status.path))
    return Finding(f"{name} features", "absent", f"{status.reason} {status.do} (restore doctor --fetch {name})")


def _guarded(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except RestoreError as error:
        return Finding(name, "wrong", str(error))
    except Exception as error:  # noqa: BLE001 - the doctor tells of a fault, it does not have one
        return Finding(name, "wrong", f"{type(error).__name__}: {error}")


def _natural() -> Finding:
    """The embedded prior must lower the noise of a known picture by much."""
    import skimage.data

    import priors
    from operators import NoiseSource

    prior = priors.load("natural")
    astronaut: Any = skimage.data.astronaut
    clean = torch.from_numpy(astronaut()[64:192, 160:288].copy()).permute(2, 0, 1)[None].float() / 255
    noisy = clean + 0.1 * NoiseSource(0, ["doctor"]).normal("noise", like=clean)
    with torch.inference_mode():
        left = float((prior.denoise(noisy, 0.1) - clean).square().mean().sqrt())
    text = f"sha256 {prior.sha256[:12]}; noise of 0.1 lowered to {left:.3f}"
    return Finding("prior natural", "ok" if left < 0.05 else "wrong", text)
