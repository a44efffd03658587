"""What docs/models.md says of the published models is what the families say of their published configs."""

import re
from pathlib import Path

import pytest

from shots.backbones.families import ALL, Family
from shots.backbones.published import PUBLISHED

PAGE = (Path(__file__).parents[3] / "docs/models.md").read_text()


@pytest.mark.parametrize("family", ALL, ids=lambda family: family.name)
def test_the_table_of_families_is_true(family: Family) -> None:
    (row,) = re.findall(rf"^\| `{family.name}` \| `{family.pipeline}` \| (.*) \|$", PAGE, re.MULTILINE)
    _, frames, native, multiple, size, per_latent, image = (cell.strip() for cell in row.split("|"))
    configs = PUBLISHED[family.name]
    limits, traits = family.limits(configs), family.traits(configs)
    assert (int(native), int(multiple), int(per_latent)) == (
        limits.frames_native,
        limits.size_multiple,
        traits.frames_per_latent,
    )
    assert size == "x".join(map(str, limits.size_native))
    assert image == traits.start_image or (image, traits.start_image) == ("5B: may", "no")
    if limits.frames_step > 1:
        assert frames == f"{limits.frames_step}k + 1"
    else:
        assert frames.startswith("any" if limits.frames_max > limits.frames_min else str(limits.frames_min))
