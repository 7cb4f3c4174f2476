"""Draw a pose as a stick figure, into real PNG bytes; the same arguments give the same bytes."""

from __future__ import annotations

import colorsys
import io
import random
from collections.abc import Mapping

from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from posemon_otel.demo.poses import BONES, Point, Pose

# Drawn larger and reduced: Pillow's lines have no smooth edges of their own.
_OVERSAMPLE = 2
_JITTER = 0.012
_LIMB, _JOINT, _HEAD = 0.022, 0.017, 0.055
# Level 1 costs a third of Pillow's default and these flat pictures are small either way.
_COMPRESSION = 1

Colour = tuple[int, int, int]


def draw_pose(pose: Pose, width: int, height: int, *, seed: int = 0, over: Image.Image | None = None) -> bytes:
    """Draw a pose.

    Args:
        pose: what to draw.
        width: pixels.
        height: pixels.
        seed: chooses colours and a slight shift of every joint, as a diffusion model's seed varies its picture.
        over: a picture to draw over, stretched to the size (image to image); a plain ground without it.

    Returns:
        A PNG whose text chunks `pose` and `seed` say what was drawn.
    """
    rng = random.Random(seed)
    hue = rng.random()
    ground, shadow, limbs, joints = (_colour(hue + turn, s, v) for turn, s, v in _PALETTE)
    full = (width * _OVERSAMPLE, height * _OVERSAMPLE)
    image = Image.new("RGB", full, ground) if over is None else over.convert("RGB").resize(full)
    _figure(ImageDraw.Draw(image), _place(pose.joints, *full, rng), min(full), (shadow, limbs, joints))
    return _png(image.reduce(_OVERSAMPLE), pose, seed)


# Ground, floor shadow, limbs, joints: turn of the hue, saturation, value.
_PALETTE = ((0.0, 0.14, 0.97), (0.0, 0.22, 0.84), (0.5, 0.75, 0.38), (0.42, 0.85, 0.82))


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _place(joints: Mapping[str, Point], width: int, height: int, rng: random.Random) -> dict[str, Point]:
    """Joints in pixels, each shifted a little, the figure centred and undistorted in a picture of any shape."""
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return {
        name: (
            left + side * (x + rng.uniform(-_JITTER, _JITTER)),
            top + side * (y + rng.uniform(-_JITTER, _JITTER)),
        )
        for name, (x, y) in joints.items()
    }


def _figure(
    draw: ImageDraw.ImageDraw, at: Mapping[str, Point], side: int, colours: tuple[Colour, Colour, Colour]
) -> None:
    shadow, limbs, joints = colours
    floor = max(y for _, y in at.values())
    left, right = (edge(x for x, _ in at.values()) for edge in (min, max))
    draw.ellipse((left, floor - side * 0.01, right, floor + side * 0.03), fill=shadow)
    for start, end in BONES:
        draw.line((at[start], at[end]), fill=limbs, width=max(1, round(side * _LIMB)))
    for name, (x, y) in at.items():
        radius = side * (_HEAD if name == "head" else _JOINT)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=limbs if name == "head" else joints)


def _png(image: Image.Image, pose: Pose, seed: int) -> bytes:
    text = PngInfo()
    text.add_text("pose", pose.id)
    text.add_text("seed", str(seed))
    out = io.BytesIO()
    image.save(out, format="PNG", compress_level=_COMPRESSION, pnginfo=text)
    return out.getvalue()
