"""The fingerprint tells objects apart exactly when their parts differ."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest

from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable, canonical_json, fingerprint


@dataclass
class Thing(Storable):
    kind: ClassVar[str] = "thing"
    config: dict = field(default_factory=dict)
    arrays: dict = field(default_factory=dict)
    children: dict = field(default_factory=dict)

    def to_parts(self):
        return Parts(self.config, self.arrays, self.children)

    @classmethod
    def from_parts(cls, config, arrays, children):
        return cls(dict(config), dict(arrays), dict(children))


BASE = Thing({"a": 1, "b": (1, 2)}, {"x": np.arange(6.0).reshape(2, 3)}, {"c": Thing({"d": None})})


def test_equal_parts_have_equal_fingerprints():
    same = Thing({"b": [1, 2], "a": np.int64(1)}, {"x": np.asfortranarray(BASE.arrays["x"])}, {"c": Thing({"d": None})})
    big_endian = Thing(BASE.config, {"x": BASE.arrays["x"].astype(">f8")}, BASE.children)
    assert fingerprint(BASE) == fingerprint(same) == fingerprint(big_endian)


@pytest.mark.parametrize(
    "other",
    [
        Thing({"a": 2, "b": (1, 2)}, BASE.arrays, BASE.children),
        Thing(BASE.config, {"x": np.nextafter(BASE.arrays["x"], 9)}, BASE.children),
        Thing(BASE.config, {"x": BASE.arrays["x"].astype(np.float32)}, BASE.children),
        Thing(BASE.config, {"x": BASE.arrays["x"].reshape(3, 2)}, BASE.children),
        Thing(BASE.config, {"y": BASE.arrays["x"]}, BASE.children),
        Thing(BASE.config, BASE.arrays, {"c": Thing({"d": 0})}),
        Thing(BASE.config, BASE.arrays, {"e": Thing({"d": None})}),
        Thing(BASE.config, BASE.arrays, {}),
    ],
)
def test_any_difference_changes_the_fingerprint(other):
    assert fingerprint(other) != fingerprint(BASE)


def test_another_kind_is_another_object():
    class Other(Thing):
        kind = "other"

    assert fingerprint(Other(BASE.config, BASE.arrays, BASE.children)) != fingerprint(BASE)


def test_keys_that_are_numbers_sort_the_same_before_and_after_json():
    import json

    text = canonical_json({9: "a", 10: "b"})
    assert canonical_json(json.loads(text)) == text


def test_what_json_cannot_hold_is_refused_with_the_owner_named():
    with pytest.raises(InputError, match="'thing' cannot be stored.*set"):
        fingerprint(Thing({"a": {1, 2}}))
