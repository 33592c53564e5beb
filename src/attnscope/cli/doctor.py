"""`attnscope doctor`: whether attention can be captured here, and what stands in the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from attnscope.cli.layer_tables import readable_bytes
from attnscope.cli.loading import quietly
from attnscope.cli.options import Json
from attnscope.cli.output import print_json
from attnscope.cli.tables import PlainTable
from attnscope.cli.terminal import data_console, shown

if TYPE_CHECKING:
    from attnscope.recording.doctor.machine import Device, Version
    from attnscope.recording.doctor.model import LayerCheck
    from attnscope.recording.doctor.report import Report

EXAMPLES = """Examples:

  attnscope doctor

  attnscope doctor demo --json"""


def doctor_command(
    model: Annotated[
        str, typer.Argument(help="demo, a hub id in the local cache, or a local folder.")
    ] = "demo",
    named: Annotated[str | None, typer.Option("--model", "-m", help="The same as the argument.")] = None,
    as_json: Json = False,
) -> None:
    """Check this machine and a model, and say what would stop a capture.

    Prints versions, devices, the hub's state, what each layer runs, and how much memory a run takes. Each layer is
    tried with a real capture, on a tiny latent; nothing is downloaded. The exit code is 1 if something stands in the
    way: the last table says what, and what to do about it.
    """
    name = named or model
    with quietly(f"examining {name}"):
        from attnscope.recording.doctor.report import doctor

        report = doctor(name)
    if as_json:
        print_json(_as_json(report))
    else:
        console = data_console()
        for part in _parts(report):
            console.print(part)
    if not report.well:
        raise typer.Exit(1)


def _as_json(report: Report) -> dict[str, Any]:
    hub = {**asdict(report.hub), "cache": str(report.hub.cache)}
    return {"well": report.well, **asdict(report), "hub": hub}


def _parts(report: Report) -> Iterator[Any]:
    yield PlainTable("Versions", ("Package", "Installed", "Supported"), map(_version_row, report.versions))
    yield PlainTable("Devices", ("Device", "Hardware", "Memory", "Free"), map(_device_row, report.devices))
    yield from (Text(shown(f"{device.name}: {device.note}\n")) for device in report.devices if device.note)
    yield PlainTable("Model hub", ("", ""), _hub_rows(report))
    if report.model.layers:
        yield PlainTable(
            f"Layers of {report.model.name} ({report.model.kind})",
            ("Blocks", "Kind", "Processor", "Runs", "Type", "Device", "Seen"),
            _layer_rows(report.model.layers),
        )
    if report.model.note and report.model.layers:
        yield Text(f"Not tried: {report.model.note}.\n")
    if report.model.memory:
        yield PlainTable(
            "What 50 steps take in memory", ("What is kept", "Bytes", "Fits"), _memory_rows(report)
        )
    if report.well:
        yield Text("Nothing stands in the way.", style="bold green")
        return
    for number, obstacle in enumerate(report.obstacles, start=1):
        yield Text(f"{number}. In the way: {obstacle.cause}.", style="bold red")
        if obstacle.remedy:
            yield Text(f"   What to do: {obstacle.remedy}")


def _version_row(package: Version) -> tuple[str, str, str]:
    absent = "missing" if package.needed else "not installed"
    wrong = package.version is not None and not package.fits
    return (
        package.name,
        package.version or absent,
        (package.supported or "any") + ("  not this" if wrong else ""),
    )


def _device_row(device: Device) -> tuple[str, str, str, str]:
    return device.name, device.hardware, _bytes(device.memory), _bytes(device.free)


def _bytes(number: int | None) -> str:
    return "unknown" if number is None else readable_bytes(number)


def _hub_rows(report: Report) -> Iterator[tuple[str, str]]:
    hub = report.hub
    answer = {None: "not asked, HF_HUB_OFFLINE is set", True: "reachable", False: f"out of reach: {hub.note}"}
    yield hub.endpoint, answer[hub.reachable]
    yield str(hub.cache), f"{_bytes(hub.free)} free" + ("" if hub.writable else ", can't be written")


def _layer_rows(layers: Sequence[LayerCheck]) -> Iterator[tuple[str, ...]]:
    """One row for all layers that are alike."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for layer in layers:
        seen = {True: "yes", False: "no", None: "not tried"}[layer.seen]
        key = (layer.kind, layer.processor, layer.runs, layer.dtype, layer.device, seen)
        groups.setdefault(key, []).append(layer.block)
    for (kind, *rest), blocks in groups.items():
        yield _ranges(blocks), kind, *(cell or "-" for cell in rest)


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers, those that follow each other as one: "1-3, 7"."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], number]
        else:
            ranges.append([number])
    return ", ".join("-".join(map(str, each)) for each in ranges)


def _memory_rows(report: Report) -> Iterator[tuple[str, str, str]]:
    free = report.devices[0].free
    for policy in report.model.memory:
        unknown = free is None or "capture" not in policy.call
        fits = "-" if unknown else "yes" if policy.run_bytes <= (free or 0) else "no"
        yield policy.name, readable_bytes(policy.run_bytes), fits
