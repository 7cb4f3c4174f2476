"""A small library of poses, made here from joint angles and so free of anybody's rights.

A pose is computed, not traced: each limb is an angle, forward kinematics gives the joints, and the figure is then
scaled into the unit square (x to the viewer's right, y down). `left` and `right` are the viewer's.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping
from typing import NamedTuple

Point = tuple[float, float]

# Lengths in heads, as life-drawing teaches them; only their proportions count.
_TORSO, _NECK, _SHOULDER, _HIP, _UPPER_ARM, _FOREARM, _THIGH, _SHIN = 2.6, 0.9, 0.85, 0.5, 1.5, 1.4, 2.0, 2.0
_MARGIN = 0.1
# A figure in a tight crouch is not blown up to the height of a standing one.
_MIN_EXTENT = 5.0

BONES: tuple[tuple[str, str], ...] = (
    ("head", "neck"),
    ("neck", "pelvis"),
    ("left_shoulder", "right_shoulder"),
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_hand"),
    ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_hand"),
    ("left_hip", "right_hip"),
    ("left_hip", "left_knee"),
    ("left_knee", "left_foot"),
    ("right_hip", "right_knee"),
    ("right_knee", "right_foot"),
)


class Pose(NamedTuple):
    """One pose of the library.

    Attributes:
        id: stable key, a slug of the name.
        name: what people read.
        category: `standing`, `action`, `dance`, `yoga` or `sitting`.
        joints: joint name to its place in the unit square, (x right, y down).
    """

    id: str
    name: str
    category: str
    joints: Mapping[str, Point]


def find_pose(wanted: str | None, prompt: str = "") -> Pose:
    """Choose the pose that a request asks for.

    Args:
        wanted: a pose's id or name, as the request's `pose` parameter carries it.
        prompt: searched for a pose's name where `wanted` names none.

    Returns:
        The named pose; else the one whose name stands in the prompt (the longest such name); else one chosen by
        the prompt's checksum, so that the same prompt is always answered with the same pose.
    """
    by_id = POSES.get(_slug(wanted or ""))
    if by_id is not None:
        return by_id
    words = f"-{_slug(prompt)}-"
    named = [pose for pose in POSES.values() if f"-{pose.id}-" in words]
    if named:
        return max(named, key=lambda pose: len(pose.id))
    return tuple(POSES.values())[zlib.crc32(prompt.encode("utf-8", "replace")) % len(POSES)]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _step(start: Point, degrees: float, length: float) -> Point:
    """The end of a limb: 0 hangs down, 90 points to the viewer's right, 180 up, -90 to the left."""
    angle = math.radians(degrees)
    return start[0] + length * math.sin(angle), start[1] + length * math.cos(angle)


def _pose(
    name: str,
    category: str,
    *,
    lean: float = 0,
    left_arm: tuple[float, float] = (-12, -8),
    right_arm: tuple[float, float] = (12, 8),
    left_leg: tuple[float, float] = (-6, -3),
    right_leg: tuple[float, float] = (6, 3),
) -> Pose:
    """Joints from angles: `lean` of the torso from upright, (upper, lower) of each limb from hanging."""
    pelvis = (0.0, 0.0)
    neck = _step(pelvis, 180 - lean, _TORSO)
    joints = {"pelvis": pelvis, "neck": neck, "head": _step(neck, 180 - lean, _NECK)}
    for side, across, arm, leg in (("left", -90, left_arm, left_leg), ("right", 90, right_arm, right_leg)):
        shoulder = _step(neck, across - lean, _SHOULDER)
        hip = _step(pelvis, across, _HIP)
        elbow = _step(shoulder, arm[0], _UPPER_ARM)
        knee = _step(hip, leg[0], _THIGH)
        joints |= {f"{side}_shoulder": shoulder, f"{side}_elbow": elbow, f"{side}_hand": _step(elbow, arm[1], _FOREARM)}
        joints |= {f"{side}_hip": hip, f"{side}_knee": knee, f"{side}_foot": _step(knee, leg[1], _SHIN)}
    return Pose(_slug(name), name, category, _fit(joints))


def _fit(joints: dict[str, Point]) -> dict[str, Point]:
    """Scale into the unit square, the head's radius and a margin included, keeping proportions and standing low."""
    xs, ys = zip(*joints.values(), strict=True)
    extent = max(max(xs) - min(xs), max(ys) - min(ys), _MIN_EXTENT) + 1
    scale = (1 - 2 * _MARGIN) / extent
    middle, floor = (max(xs) + min(xs)) / 2, max(ys)
    return {
        name: (round(0.5 + (x - middle) * scale, 4), round(1 - _MARGIN + (y - floor) * scale, 4))
        for name, (x, y) in joints.items()
    }


POSES: Mapping[str, Pose] = {
    pose.id: pose
    for pose in (
        _pose("Standing", "standing"),
        _pose("Arms Crossed", "standing", left_arm=(-14, 100), right_arm=(14, -100)),
        _pose("Hands on Hips", "standing", left_arm=(-48, 42), right_arm=(48, -42)),
        _pose("Waving", "standing", right_arm=(100, 165)),
        _pose(
            "Running",
            "action",
            lean=14,
            left_arm=(-52, 30),
            right_arm=(45, 130),
            left_leg=(-32, -88),
            right_leg=(68, 2),
        ),
        _pose(
            "Jumping",
            "action",
            left_arm=(-140, -160),
            right_arm=(140, 160),
            left_leg=(-48, 18),
            right_leg=(48, -18),
        ),
        _pose(
            "Kicking",
            "action",
            lean=-18,
            left_arm=(-62, -20),
            right_arm=(40, 120),
            left_leg=(-8, -4),
            right_leg=(92, 88),
        ),
        _pose(
            "Archer",
            "action",
            left_arm=(-90, -90),
            right_arm=(82, -98),
            left_leg=(-24, -10),
            right_leg=(24, 10),
        ),
        _pose(
            "Arabesque",
            "dance",
            lean=-22,
            left_arm=(-118, -112),
            right_arm=(84, 80),
            left_leg=(-4, 0),
            right_leg=(98, 104),
        ),
        _pose("Pirouette", "dance", left_arm=(-64, 72), right_arm=(64, -72), right_leg=(58, -62)),
        _pose("Warrior", "yoga", left_arm=(-90, -90), right_arm=(90, 90), left_leg=(-76, -2), right_leg=(46, 46)),
        _pose("Tree", "yoga", left_arm=(-160, 168), right_arm=(160, -168), left_leg=(0, 0), right_leg=(62, -78)),
        _pose(
            "Triangle",
            "yoga",
            lean=-66,
            left_arm=(-4, -2),
            right_arm=(176, 178),
            left_leg=(-30, -28),
            right_leg=(30, 28),
        ),
        _pose("Sitting", "sitting", left_arm=(-20, 60), right_arm=(24, 60), left_leg=(84, 4), right_leg=(88, 2)),
        _pose("Lotus", "sitting", left_arm=(-34, -20), right_arm=(34, 20), left_leg=(-78, 86), right_leg=(78, -86)),
    )
}
"""The library by id, in a fixed order."""
