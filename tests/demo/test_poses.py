"""The library of poses and their drawing."""

import io
import itertools

import pytest
from PIL import Image

from posemon_otel.demo.drawing import draw_pose
from posemon_otel.demo.poses import BONES, POSES, find_pose


def test_the_library_has_poses_of_several_categories():
    assert len(POSES) >= 12
    assert {pose.category for pose in POSES.values()} == {"standing", "action", "dance", "yoga", "sitting"}
    assert all(key == pose.id for key, pose in POSES.items())


@pytest.mark.parametrize("pose", POSES.values(), ids=POSES)
def test_every_figure_is_whole_and_within_the_picture(pose):
    assert {end for bone in BONES for end in bone} == set(pose.joints)
    assert all(0.05 <= place <= 0.95 for joint in pose.joints.values() for place in joint)


def test_no_two_poses_look_alike():
    def apart(one, other):
        return max(abs(one.joints[name][axis] - other.joints[name][axis]) for name in one.joints for axis in (0, 1))

    closest = min(apart(*pair) for pair in itertools.combinations(POSES.values(), 2))
    assert closest > 0.05, "a seed shifts joints by 0.012 at most: less than this would be taken for it"


@pytest.mark.parametrize(
    ("wanted", "prompt", "found"),
    [
        ("Warrior", "a tree", "warrior"),
        ("hands-on-hips", "", "hands-on-hips"),
        (None, "portrait, Hands on Hips, studio light", "hands-on-hips"),
        ("no such pose", "someone RUNNING fast", "running"),
        (None, "a streetree", None),
    ],
)
def test_a_pose_is_found_by_parameter_then_by_prompt(wanted, prompt, found):
    pose = find_pose(wanted, prompt)
    assert pose == find_pose(wanted, prompt)
    assert pose.id == found if found else pose.id != "tree"


def test_prompts_that_name_no_pose_are_spread_over_the_library():
    assert len({find_pose(None, f"prompt {n}").id for n in range(200)}) == len(POSES)


def test_a_lone_surrogate_in_a_prompt_is_no_error():
    assert find_pose(None, "half an emoji \ud83d") in POSES.values()


def test_pictures_differ_by_pose_and_seed_alone():
    tree, warrior = POSES["tree"], POSES["warrior"]
    pictures = [draw_pose(pose, 80, 60, seed=seed) for pose, seed in [(tree, 1), (tree, 2), (warrior, 1)]]
    assert len(set(pictures)) == 3
    assert draw_pose(tree, 80, 60, seed=1) == pictures[0]


@pytest.mark.parametrize("size", [(16, 16), (300, 50), (50, 300), (257, 129)])
def test_any_shape_of_picture_is_drawn_over_any_other(size):
    plain = Image.open(io.BytesIO(draw_pose(POSES["lotus"], *size)))
    over = Image.open(io.BytesIO(draw_pose(POSES["lotus"], *size, over=Image.new("L", (7, 9)))))
    assert plain.size == over.size == size
    assert plain.tobytes() != over.tobytes()
