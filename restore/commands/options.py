"""Options that several commands share, with the types and help texts the command line shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from operators.common.registry import Entry

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar, no table.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, such as solver.steps=50. Repeatable."),
]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, mps.")]
Dtype = Annotated[str, typer.Option("--dtype", help="Precision inside the network: auto, float32, bfloat16, float64.")]
Scheduler = Annotated[
    str,
    typer.Option("--scheduler", help="serial, local, slurm or tcp://HOST:PORT (dask); default: processes here."),
]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Processes; 0: one per device.")]
Threads = Annotated[int, typer.Option("--threads", min=0, help="Of each process; 0: cores shared evenly.")]
Devices = Annotated[str, typer.Option("--device", help="cpu, or cuda:0,cuda:1 for one process on each.")]
NoiseWhere = Annotated[
    str, typer.Option("--noise", help="cpu (the same everywhere) or device (faster, equal in distribution).")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing result.")]
Dataset = Annotated[str | None, typer.Option("--dataset", help="Key of the array in an npz, HDF5 or MAT file.")]
Index = Annotated[int | None, typer.Option("--index", help="Entry along the leading axis, or page of a TIFF.")]
Axes = Annotated[str | None, typer.Option("--axes", help="Meaning of the axes, such as HWC, CHW, DHW.")]
Unit = Annotated[str | None, typer.Option("--unit", help="Unit of the values, such as counts or hu.")]
Offset = Annotated[float | None, typer.Option("--offset", help="Number added to the stored values, such as -1024.")]
White = Annotated[
    float | None, typer.Option("--white", help="Stored number that is 1, such as 4095 (12 bits in a 16-bit file).")
]
Black = Annotated[float | None, typer.Option("--black", help="Stored number that is 0.")]
MaxPixels = Annotated[int | None, typer.Option("--max-pixels", help="Refuse larger pictures.")]


def chosen(**options: Any) -> dict[str, Any]:
    """Those that were given."""
    return {key: value for key, value in options.items() if value is not None}


def schema(target: str) -> Any:
    """The option that prints a JSON schema and ends the command. target: "module:function" that makes the schema."""

    def show(asked: bool) -> None:
        if asked:
            typer.echo(json.dumps(Entry(target, "").load()(), indent=1, ensure_ascii=False, allow_nan=False))
            raise typer.Exit

    return typer.Option("--schema", help="Print the JSON schema of its TOML files.", is_eager=True, callback=show)


def there(path: Path | None) -> Path | None:
    """The path of an option, or BadInput where nothing is there: said at once, before torch is imported."""
    from ..io.source import check_there

    if path is not None:
        check_there(path)
    return path


def a_folder(path: Path | None) -> Path | None:
    """The path of an option, or BadInput where no folder is there."""
    from operators.common.errors import BadInput

    if path is not None and not path.is_dir():
        raise BadInput(f"{path} is not a folder", do="Check the path.")
    return path


def there_if_file(name: str) -> str:
    """The name of a task, or of its TOML file, which must be there."""
    if name.endswith(".toml"):
        there(Path(name))
    return name
