"""Quick demosaicking: from one colour per pixel to three, by linear formulas."""

from __future__ import annotations

import torch
from torch import Tensor

# Weights of Malvar, He and Cutler 2004, figure 2, times 8: the missing colour from its neighbours (bilinear), corrected
# by the Laplacian of the colour that the pixel measured.
_GREEN = ((0, 0, -1, 0, 0), (0, 0, 2, 0, 0), (-1, 2, 4, 2, -1), (0, 0, 2, 0, 0), (0, 0, -1, 0, 0))
_ALONG = ((0, 0, 0.5, 0, 0), (0, -1, 0, -1, 0), (-1, 4, 5, 4, -1), (0, -1, 0, -1, 0), (0, 0, 0.5, 0, 0))
_ACROSS = tuple(zip(*_ALONG, strict=True))
_DIAGONAL = ((0, 0, -1.5, 0, 0), (0, 2, 0, 2, 0), (-1.5, 0, 6, 0, -1.5), (0, 2, 0, 2, 0), (0, 0, -1.5, 0, 0))


def malvar(raw: Tensor, colour: Tensor) -> Tensor:
    """Gradient-corrected linear interpolation of a Bayer mosaic.

    raw: B x 1 x H x W, H and W at least 3. colour: 1 x H x W, 0, 1, 2 for red, green, blue. Returns B x 3 x H x W;
    measured values are kept. Edges are mirrored without the edge pixel, which keeps the pattern.

    Reference: H. Malvar, L. He and R. Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned
    color images", ICASSP 2004.
    """
    weights = torch.tensor([_GREEN, _ALONG, _ACROSS, _DIAGONAL], dtype=torch.float64) / 8
    padded = torch.nn.functional.pad(raw, (2, 2, 2, 2), mode="reflect")
    responses = torch.nn.functional.conv2d(padded, weights[:, None].to(dtype=raw.dtype, device=raw.device))
    green, along, across, diagonal = torch.split(responses, 1, dim=1)
    is_green = colour == 1
    planes = []
    for wanted in (0, 2):
        # A row of a Bayer pattern holds green and one other colour.
        in_row = ((colour == wanted).any(dim=2, keepdim=True)).expand_as(colour)
        at_green = torch.where(in_row, along, across)
        planes.append(torch.where(colour == wanted, raw, torch.where(is_green, at_green, diagonal)))
    return torch.cat([planes[0], torch.where(is_green, raw, green), planes[1]], dim=1)


def interpolate(raw: Tensor, colour: Tensor) -> Tensor:
    """Demosaicking for any pattern: green by normalised convolution, then red and blue through their difference to it.

    Shapes as for `malvar`, of any size. Measured values are kept. Differences between colours are smoother than the
    colours, so that interpolating them follows edges that green resolves (Kimmel 1999).
    """
    green = _filled(raw, colour == 1)
    planes = [_filled(raw - green, colour == c) + green for c in (0, 2)]
    return torch.cat([planes[0], green, planes[1]], dim=1)


def _filled(values: Tensor, sampled: Tensor) -> Tensor:
    """Known values, and elsewhere the mean of known ones nearby, weighted by a Gaussian that widens until some are."""
    mask = sampled.to(values.dtype)[None]
    filled, certain = values * mask, sampled[None]
    radius = 1
    while not bool(certain.all()) and radius < 2 * max(values.shape[-2:]):
        offset = torch.arange(-radius, radius + 1, dtype=torch.float64)
        profile = torch.exp(-0.5 * (offset / (radius * 0.6)) ** 2).to(values)
        window = torch.outer(profile, profile)[None, None]
        total = torch.nn.functional.conv2d(values * mask, window, padding=radius)
        weight = torch.nn.functional.conv2d(mask, window, padding=radius)
        # A single known pixel at the corner of the window says little about its centre: wait for a wider one.
        fresh = ~certain & (weight > 1.5 * profile[0] * profile[radius])
        filled = torch.where(fresh, total / torch.where(fresh, weight, 1.0), filled)
        certain = certain | fresh
        radius += 1
    return filled
