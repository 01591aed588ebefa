"""Intensities, ptychography, JPEG, saturation, scattering; "adjoint" is the vector-Jacobian product."""

from __future__ import annotations

from collections.abc import Iterator

import torch

import operators

from ..contest import OURS, Calls, Contest

PROBE, STEP = 64, 16  # pixels
QUALITY = 10


def contests(size: int) -> Iterator[Contest]:
    """Maps of a size x size picture, each computed by ourselves and by a peer on the same data."""
    yield _oversampled(size)
    yield _coded(size)
    yield _ptychography(size)
    yield _jpeg(size)
    yield _saturation(size)
    yield _scattering(size)


def _oversampled(size: int) -> Contest:
    """|F pad(x)|^2 of a real colour picture on 1.5 times its side."""
    x, grid = torch.rand(1, 3, size, size), size + 2 * round(size / 4)
    u = torch.rand(1, 3, grid, grid)

    def ours() -> Calls:
        a = operators.build("phase-retrieval", (3, size, size), measure="intensity")
        return Calls(lambda: a(x), lambda: a.vjp(x, u))

    def deepinv() -> Calls:
        from deepinv.physics import LinearPhysics, PhaseRetrieval

        pad = (grid - size) // 2

        def forward(picture: torch.Tensor) -> torch.Tensor:
            wide = torch.nn.functional.pad(picture, (pad, pad, pad, pad))
            moved = torch.fft.fft2(torch.fft.ifftshift(wide, (-2, -1)), norm="ortho")
            return torch.fft.fftshift(moved, (-2, -1))

        def adjoint(y: torch.Tensor) -> torch.Tensor:
            back = torch.fft.ifft2(torch.fft.ifftshift(y, (-2, -1)), norm="ortho")
            return torch.fft.fftshift(back, (-2, -1))[..., pad : pad + size, pad : pad + size].real

        a = PhaseRetrieval(LinearPhysics(A=forward, A_adjoint=adjoint))
        return Calls(lambda: a(x), lambda: a.A_vjp(x, u))

    return Contest("Fourier intensity", f"{size}x{size}x3 -> {grid}x{grid}x3", {OURS: ours, "deepinv": deepinv})


def _coded(size: int) -> Contest:
    """|F m x|^2 of a complex picture behind one mask of random phases."""
    x = torch.complex(torch.rand(1, 1, size, size), torch.rand(1, 1, size, size))
    u = torch.rand(1, 1, size, size)

    def ours() -> Calls:
        phases = 2 * torch.pi * torch.rand(1, size, size, dtype=torch.float64)
        a = operators.build(
            "phase-retrieval",
            (1, size, size),
            masks=torch.exp(1j * phases),
            measure="intensity",
            complex_values=True,
        )
        v = u[:, :, None]
        return Calls(lambda: a(x), lambda: a.vjp(x, v))

    def deepinv() -> Calls:
        from deepinv.physics import StructuredRandomPhaseRetrieval

        a = StructuredRandomPhaseRetrieval((1, size, size), (1, size, size), n_layers=1)
        return Calls(lambda: a(x), lambda: a.A_vjp(x, u))

    return Contest("coded intensity, 1 mask", f"{size}x{size}", {OURS: ours, "deepinv": deepinv})


def _ptychography(size: int) -> Contest:
    """Patterns of a 64 x 64 probe moved in steps of 16 pixels (75 % overlap) over a complex object."""
    x = torch.complex(torch.rand(1, 1, size, size), torch.rand(1, 1, size, size))
    places = torch.arange(0, size - PROBE + 1, STEP)
    corners = torch.cartesian_prod(places, places)
    probe = torch.complex(torch.rand(PROBE, PROBE), torch.rand(PROBE, PROBE))
    u = torch.rand(1, 1, len(corners), PROBE, PROBE)

    def ours() -> Calls:
        a = operators.build("ptychography", (1, size, size), probe=probe, positions=corners)
        return Calls(lambda: a(x), lambda: a.vjp(x, u))

    def deepinv() -> Calls:
        from deepinv.physics import Ptychography

        # Its shifts count from the middle of the object.
        a = Ptychography((1, size, size), probe=probe[None], shifts=corners - (size - PROBE) // 2)
        v = u[:, 0]
        return Calls(lambda: a(x), lambda: a.A_vjp(x, v))

    label = f"{size}x{size}, {len(corners)} positions"
    return Contest(f"ptychography, probe {PROBE}x{PROBE}", label, {OURS: ours, "deepinv": deepinv})


def _jpeg(size: int) -> Contest:
    """A colour picture at quality 10; the peers' colours are at half resolution too."""
    x, u = torch.rand(1, 3, size, size), torch.rand(1, 3, size, size)

    def ours() -> Calls:
        a = operators.build("jpeg", (3, size, size), quality=QUALITY)
        return Calls(lambda: a(x), lambda: a.vjp(x, u))

    def kornia() -> Calls:
        from kornia.enhance import jpeg_codec_differentiable

        quality = torch.tensor([float(QUALITY)])

        def derivative() -> torch.Tensor:
            leaf = x.clone().requires_grad_()
            return torch.autograd.grad(jpeg_codec_differentiable(leaf, quality), leaf, u)[0]

        def forward() -> torch.Tensor:
            with torch.no_grad():
                return jpeg_codec_differentiable(x, quality)

        return Calls(forward, derivative)

    return Contest(f"JPEG, quality {QUALITY}", f"{size}x{size}x3", {OURS: ours, "kornia": kornia})


def _saturation(size: int) -> Contest:
    """clip(2 x, 0, 1) of a colour picture; no peer has it, so that the bare expression is the floor."""
    x, u = torch.rand(1, 3, size, size), torch.rand(1, 3, size, size)

    def ours() -> Calls:
        a = operators.build("hdr", (3, size, size))
        return Calls(lambda: a(x), lambda: a.vjp(x, u))

    def bare() -> Calls:
        def derivative() -> torch.Tensor:
            leaf = x.clone().requires_grad_()
            return torch.autograd.grad((2 * leaf).clamp(0, 1), leaf, u)[0]

        return Calls(lambda: (2 * x).clamp(0, 1), derivative)

    return Contest("saturation", f"{size}x{size}x3", {OURS: ours, "torch and its autograd": bare})


def _scattering(size: int) -> Contest:
    """First Born approximation, 20 transmitters and 360 receivers, on a quarter of the side.

    The peer stores the whole matrix of each transmitter, which grows to gigabytes. It lets the contrast be complex;
    ours is real.
    """
    side = size // 4
    x = torch.rand(1, 1, side, side)

    def ours() -> Calls:
        a = operators.build("scattering", (1, side, side))
        y = a(x)
        return Calls(lambda: a(x), lambda: a.adjoint(y))

    def deepinv() -> Calls:
        from deepinv.physics.scattering import BornOperator

        a = operators.build("scattering", (1, side, side))
        transmitters, receivers = a.output_shape
        waves = a.incident.reshape(1, transmitters, side, side).to(torch.complex64)
        places = torch.ones(2, transmitters, receivers)
        # Built for one pixel: its own Green's function loses its imaginary part to a cast. Ours takes its place.
        born = BornOperator(waves, places, torch.zeros(1), torch.zeros(1), 1.0, 1.0, 1)
        green = a.green.T.to(torch.complex64).reshape(1, receivers, side, side)
        born.green_operator = green.expand(transmitters, -1, -1, -1).contiguous()
        y = born.A(x)
        return Calls(lambda: born.A(x), lambda: born.A_adjoint(y))

    return Contest("scattering, 20 to 360 antennas", f"{side}x{side}", {OURS: ours, "deepinv": deepinv})
