"""Swin layers on feature maps (Liu et al. 2021, arXiv 2103.14030) as ResShift stacks them: group norms, 1x1 MLPs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators.common.errors import BadInput

BLOCKED = -100.0  # added to the logits of pixels that the cyclic shift brought together from opposite edges
NORM_GROUPS = 32
MASKS = ("released", "textbook")  # kinds of `shift_mask`


class GroupNormFloat(nn.GroupNorm):
    """Group norm, computed in float32 whatever the precision around it."""

    def __init__(self, width: int, groups: int = NORM_GROUPS) -> None:
        super().__init__(groups, width)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.float(), self.bias.float()
        return F.group_norm(x.float(), self.num_groups, weight, bias, self.eps).to(x.dtype)


class SwinLayer(nn.Module):
    """1x1 in, windowed blocks (every second one shifted), 1x1 out; the result replaces the feature, nothing is added.

    resolution: side of the grid it was trained on; where it is not larger than `window`, the window is that side and
    no block is shifted. mask: kind of `shift_mask`. Works on every grid whose sides are multiples of its window.
    """

    def __init__(
        self,
        width: int,
        *,
        embedding: int,
        depth: int,
        heads: int,
        window: int,
        resolution: int,
        mlp_ratio: float,
        groups: int = NORM_GROUPS,
        mask: str = "released",
    ) -> None:
        super().__init__()
        side = min(window, resolution)
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(width, embedding, 1)})
        self.blocks = nn.ModuleList(
            SwinBlock(
                embedding,
                heads=heads,
                window=side,
                shift=side // 2 if index % 2 and resolution > window else 0,
                resolution=resolution,
                mlp_ratio=mlp_ratio,
                groups=groups,
                mask=mask,
            )
            for index in range(depth)
        )
        self.patch_unembed = nn.ModuleDict({"proj": nn.Conv2d(embedding, width, 1)})

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed["proj"](x)
        for block in self.blocks:
            x = block(x)
        return self.patch_unembed["proj"](x)


class SwinBlock(nn.Module):
    """x + attention within windows, then x + MLP, each on a norm."""

    attn_mask: Tensor | None

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        window: int,
        shift: int,
        resolution: int,
        mlp_ratio: float,
        groups: int = NORM_GROUPS,
        mask: str = "released",
    ) -> None:
        super().__init__()
        self.window, self.shift, self.resolution, self.mask = window, shift, resolution, mask
        self.norm1, self.norm2 = GroupNormFloat(width, groups), GroupNormFloat(width, groups)
        self.attn = WindowAttention(width, heads=heads, window=window)
        self.mlp = PointwiseMLP(width, round(mlp_ratio * width))
        # Released files hold the mask of the training size; other sizes get theirs when they come.
        trained = shift_mask(resolution, resolution, window, shift, mask) if shift else None
        self.register_buffer("attn_mask", trained)

    def forward(self, x: Tensor) -> Tensor:
        batch, width, height, length = x.shape
        hidden = torch.roll(self.norm1(x), (-self.shift, -self.shift), dims=(2, 3)) if self.shift else self.norm1(x)
        split = hidden.unflatten(3, (-1, self.window)).unflatten(2, (-1, self.window))
        tokens = split.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, self.window**2, width)
        tokens = self.attn(tokens, self._mask(height, length, x))
        grid = tokens.reshape(batch, height // self.window, length // self.window, self.window, self.window, width)
        hidden = grid.permute(0, 5, 1, 3, 2, 4).reshape(x.shape)
        x = x + (torch.roll(hidden, (self.shift, self.shift), dims=(2, 3)) if self.shift else hidden)
        return x + self.mlp(self.norm2(x))

    def _mask(self, height: int, width: int, x: Tensor) -> Tensor | None:
        if self.attn_mask is None or (height, width) == (self.resolution, self.resolution):
            return self.attn_mask
        return shift_mask(height, width, self.window, self.shift, self.mask).to(x)


class WindowAttention(nn.Module):
    """Softmax attention inside each window, with a learned bias for every relative position.

    tokens: B x windows x window^2 x width. mask: windows x window^2 x window^2, added to the logits, or None.
    """

    relative_position_index: Tensor

    def __init__(self, width: int, *, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_position_index", relative_positions(window))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        if mask is not None:
            bias = bias + mask[:, None].to(bias.dtype)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        return self.proj(out.transpose(2, 3).flatten(3))


class PointwiseMLP(nn.Module):
    """Two layers that see one pixel."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(width, hidden, 1), nn.Conv2d(hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


def relative_positions(window: int) -> Tensor:
    """window^2 x window^2 row numbers into the table of (2 window - 1)^2 offsets."""
    axis = torch.arange(window)
    rows, columns = (grid.flatten() for grid in torch.meshgrid(axis, axis, indexing="ij"))
    down = rows[:, None] - rows[None, :] + window - 1
    right = columns[:, None] - columns[None, :] + window - 1
    return down * (2 * window - 1) + right


def shift_mask(height: int, width: int, window: int, shift: int, kind: str = "released") -> Tensor:
    """windows x window^2 x window^2: 0 between pixels that may see each other, `BLOCKED` between the others.

    kind "released": as ResShift computes it, at every size. Its plane of regions is 1 x 1 x H x W and the bands are
    those of the second and third axis, so that rows alone tell regions apart and only the last row of windows is cut;
    each window's regions are then listed column by column, while its pixels come row by row, so that the cut runs
    between columns. Its networks were trained that way. kind "textbook": regions by rows and columns (Liu et al. 2021,
    fig. 4). BadInput for another kind.
    """

    def strips(size: int) -> Tensor:
        position = torch.arange(size)
        return (position >= size - window).int() + (position >= size - shift).int()

    if kind not in MASKS:
        raise BadInput(f"the mask of shifted windows is {kind!r}", wanted=" or ".join(map(repr, MASKS)))
    columns = strips(width) if kind == "textbook" else torch.zeros(width, dtype=torch.int)
    region = 3 * strips(height)[:, None] + columns[None, :]
    windows = region.unflatten(1, (-1, window)).unflatten(0, (-1, window)).transpose(1, 2)  # type: ignore[no-untyped-call]
    listed = windows.transpose(2, 3) if kind == "released" else windows
    tokens = listed.reshape(-1, window**2)
    return (tokens[:, :, None] != tokens[:, None, :]).float() * BLOCKED
