"""The model file: what is saved comes back bit by bit; what was damaged is refused with a reason."""

import json
import os
import pickle
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nwidth.core.errors import InputError, WorkError
from nwidth.core.storable import Parts, Storable, canonical_json, fingerprint
from nwidth.io.arrays import decode, encode, join_sparse, split_sparse
from nwidth.io.migrate import migrate
from nwidth.io.model import _seal, load, read_manifest, save


@dataclass
class Node(Storable):
    """A user's own class."""

    kind: ClassVar[str] = "my-node"
    config: dict = field(default_factory=dict)
    arrays: dict = field(default_factory=dict)
    children: dict = field(default_factory=dict)

    def to_parts(self):
        return Parts(self.config, self.arrays, self.children)

    @classmethod
    def from_parts(cls, config, arrays, children):
        return cls(dict(config), dict(arrays), dict(children))


def example() -> Node:
    rng = np.random.default_rng(0)
    arrays = {
        "double": rng.standard_normal((3, 4)),
        "single": rng.standard_normal(5).astype(np.float32),
        "complex": rng.standard_normal((2, 3)) + 1j * rng.standard_normal((2, 3)),
        "complex64": np.array([1 + 2j], dtype=np.complex64),
        "mask": np.array([True, False]),
        "index": np.array([1, -2, 3], dtype=np.int32),
        "number": np.array(2.5),
        "complex number": np.array(1 - 1j),
        "none": np.empty((0, 3)),
        "odd": np.array([np.nan, np.inf, -0.0, 5e-324]),
    }
    child = Node({"level": 0.9, "text": "Ä µ"}, {"strided": np.arange(20.0)[::3], "fortran": np.eye(3, 4, order="F")})
    return Node({"names": ["k", "h"], "flag": True, "none": None}, arrays, {"child": child, "empty": Node()})


@pytest.fixture
def saved(tmp_path):
    return save(example(), tmp_path / "a.nwidth", provenance={"seed": 3})


def same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_everything_comes_back_bit_by_bit(saved):
    again = load(saved, kinds=[Node])
    assert fingerprint(again) == fingerprint(example())
    assert again.config == example().config
    for name, values in example().arrays.items():
        assert same_bits(again.arrays[name], values), name
        assert again.arrays[name].flags.writeable
    assert np.array_equal(again.children["child"].arrays["strided"], np.arange(20.0)[::3])


@given(
    hnp.arrays(
        st.sampled_from(["<f8", ">f8", "<f4", "<c16", "<c8", "<i8", "u1", "?"]),
        hnp.array_shapes(min_dims=0, min_side=0),
    )
)
def test_any_array_survives(values):
    data, paired = encode({"a": values})
    back = decode(data, paired)["a"]
    assert same_bits(back, values.astype(values.dtype.newbyteorder("=")))


def test_the_same_object_gives_the_same_bytes(saved, tmp_path):
    assert save(example(), tmp_path / "b.nwidth", provenance={"seed": 3}).read_bytes() == saved.read_bytes()


def test_the_manifest_tells_what_the_file_holds(saved):
    manifest = read_manifest(saved)
    assert manifest["object"]["children"]["child"]["config"]["text"] == "Ä µ"
    assert manifest["provenance"]["seed"] == 3


def test_a_class_of_ones_own_must_be_passed(saved):
    with pytest.raises(InputError, match=r"'my-node'.*kinds=\[MyClass\]"):
        load(saved)


def test_every_flipped_byte_is_found_or_harmless(tmp_path):
    """Each single byte of the file in turn: an InputError, or exactly the same object (a date, say)."""
    small = Node({"a": 1}, {"x": np.array([1.0, 2.0])}, {"c": Node({}, {"y": np.array([3])})})
    path = save(small, tmp_path / "small.nwidth")
    whole, expected, refused = path.read_bytes(), fingerprint(small), 0
    for position in range(len(whole)):
        broken = bytearray(whole)
        broken[position] ^= 0x41
        path.write_bytes(broken)
        try:
            assert fingerprint(load(path, kinds=[Node])) == expected, position
        except InputError:
            refused += 1
    assert refused > 0.8 * len(whole)


def test_every_truncation_is_refused(saved):
    whole = saved.read_bytes()
    for size in {0, 1, 3, 4, 30, *range(50, len(whole), 97), len(whole) - 1}:
        saved.write_bytes(whole[:size])
        with pytest.raises(InputError):
            load(saved, kinds=[Node])


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def repack(path, contents):
    """A valid zip with correct CRCs: only the SHA-256 can notice what was exchanged."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)


def test_an_altered_byte_in_each_member_is_found_behind_a_correct_crc(saved):
    contents = members(saved)
    assert len(contents) == 3
    for name, data in contents.items():
        altered = bytearray(data)
        if name == "manifest.json":
            altered = data.replace(b'"seed":3', b'"seed":4')
        else:
            altered[-1] ^= 1
        repack(saved, contents | {name: bytes(altered)})
        with pytest.raises(InputError, match="SHA-256"):
            load(saved, kinds=[Node])
    repack(saved, contents)
    load(saved, kinds=[Node])


def test_additional_and_missing_members_are_refused(saved):
    contents = members(saved)
    repack(saved, contents | {"arrays/more.safetensors": b"x"})
    with pytest.raises(InputError, match="members"):
        load(saved, kinds=[Node])
    repack(saved, dict(list(contents.items())[:-1]))
    with pytest.raises(InputError, match="members"):
        load(saved, kinds=[Node])


def rewrite_manifest(path, change):
    contents = members(path)
    manifest = change(json.loads(contents["manifest.json"]))
    manifest["sha256"] = _seal(manifest)
    repack(path, contents | {"manifest.json": canonical_json(manifest).encode()})


def test_a_newer_format_says_to_update(saved):
    rewrite_manifest(saved, lambda m: m | {"version": 99})
    with pytest.raises(InputError, match="format 99.*up to 2.*pip install -U nwidth"):
        load(saved, kinds=[Node])


def test_older_formats_are_migrated_step_by_step():
    steps = {1: lambda m: m | {"b": m["a"] + 1}, 2: lambda m: m | {"c": m["b"] * 10}}
    assert migrate({"version": 1, "a": 1}, steps, current=3) == {"version": 3, "a": 1, "b": 2, "c": 20}
    with pytest.raises(InputError, match="format 0, which this nwidth no longer reads"):
        migrate({"version": 0}, steps, current=3)
    with pytest.raises(InputError, match="'1'"):
        migrate({"version": "1"})


def test_a_file_of_the_first_format_still_loads(saved):
    rewrite_manifest(saved, lambda m: m | {"version": 1})
    assert fingerprint(load(saved, kinds=[Node])) == fingerprint(example())


def test_an_object_that_occurs_twice_is_stored_once_and_is_one_object_again(tmp_path):
    shared = Node({}, {"large": np.arange(1000.0)})
    tree = Node({}, {}, {"b": Node({}, {}, {"shared": shared}), "a": Node({}, {}, {"shared": shared}), "c": shared})
    path = save(tree, tmp_path / "twice.nwidth")
    assert sum(name.endswith(".safetensors") for name in members(path)) == 1
    again = load(path, kinds=[Node])
    assert again.children["a"].children["shared"] is again.children["b"].children["shared"] is again.children["c"]
    assert fingerprint(again) == fingerprint(tree)


@pytest.mark.parametrize("place", ["object.b", "object", "nowhere", 7])
def test_a_reference_to_what_was_not_read_before_is_refused(saved, place):
    def bend(manifest):
        manifest["object"]["children"]["child"]["same"] = place
        return manifest

    rewrite_manifest(saved, bend)
    with pytest.raises(InputError, match="refers to"):
        load(saved, kinds=[Node])


def test_no_import_path_is_followed(saved):
    """A kind is a name in a table; a path to something dangerous is just an unknown name."""
    rewrite_manifest(saved, lambda m: m | {"object": m["object"] | {"kind": "os:system"}})
    with pytest.raises(InputError, match="'os:system' is not known"):
        load(saved, kinds=[Node])


def test_parts_that_do_not_fit_are_an_input_error(saved):
    class Strict(Node):
        @classmethod
        def from_parts(cls, config, arrays, children):
            return cls(config["no such key"])

    with pytest.raises(InputError, match="do not make a 'my-node'.*no such key"):
        load(saved, kinds=[Strict])
    rewrite_manifest(saved, lambda m: {k: v for k, v in m.items() if k != "object"})
    with pytest.raises(InputError, match="lacks kind"):
        load(saved, kinds=[Node])


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("bomb",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"k,h\n1,2\n", "a text table"),
        (b"", "an empty file"),
        (b"\x93NUMPY\x01\x00", "one NumPy array"),
        (pickle.dumps(Bomb()), "a Python pickle, which could run code"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"<!DOCTYPE html><html>404", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (bytes(range(256)), "a binary file of unknown kind"),
    ],
)
def test_another_file_is_called_by_its_name(content, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.nwidth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says):
        load(path)
    assert not (tmp_path / "bomb").exists()


def test_another_zip_and_no_file_at_all(tmp_path):
    repack(tmp_path / "other.nwidth", {"a.txt": b"x"})
    with pytest.raises(InputError, match="without manifest.json"):
        load(tmp_path / "other.nwidth")
    repack(tmp_path / "other.nwidth", {"manifest.json": b'{"format": "else"}'})
    with pytest.raises(InputError, match="'else'"):
        load(tmp_path / "other.nwidth")
    repack(tmp_path / "other.nwidth", {"manifest.json": b"[" * 100_000})
    with pytest.raises(InputError, match="not JSON"):
        load(tmp_path / "other.nwidth")
    with pytest.raises(InputError, match="there is no file"):
        load(tmp_path / "none.nwidth")


def test_what_cannot_be_stored_is_refused_and_nothing_is_written(tmp_path):
    for bad, says in [
        (Node(arrays={"x": np.array(["text"])}), "array 'x' of 'my-node' has type <U4"),
        (Node(arrays={"x": np.array([object()])}), "array 'x'"),
        (Node({"f": print}), "configuration of 'my-node'"),
        ("no object", "the path 'no object' first; expected save\\(object, path\\)"),
        (3, "int cannot be saved: it is not Storable"),
    ]:
        with pytest.raises(InputError, match=says):
            save(bad, tmp_path / "a.nwidth")
    with pytest.raises(InputError, match="folder.*does not exist"):
        save(Node(), tmp_path / "none" / "a.nwidth")
    with pytest.raises(InputError, match="is a folder"):
        save(Node(), tmp_path)
    assert not list(tmp_path.iterdir())


FULL_DISK = """
import resource, signal, sys
import numpy as np
from tests.io.test_model import Node, save
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from nwidth.core.errors import WorkError
try:
    save(Node({}, {"x": np.zeros(100_000)}), sys.argv[1])
except WorkError as error:
    print("WorkError", error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits a file's size the POSIX way")
def test_a_full_disk_is_a_work_error_and_leaves_the_old_file(saved):
    before = saved.read_bytes()
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(saved)], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.startswith("WorkError") and "could not be written" in done.stdout
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_an_interrupted_save_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save(Node(), tmp_path / "a.nwidth")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(WorkError, match="No space left"):
        save(Node(), tmp_path / "a.nwidth")
    assert not list(tmp_path.iterdir())


def test_sparse_matrices_travel_as_arrays():
    import scipy.sparse as sp

    matrix = sp.random_array((30, 20), density=0.2, random_state=np.random.default_rng(1), format="coo")
    parts = split_sparse("A", matrix)
    assert abs(join_sparse("A", parts) - matrix).max() == 0
    data, paired = encode(parts)
    assert abs(join_sparse("A", decode(data, paired)) - matrix).max() == 0
    with pytest.raises(InputError, match="'A' is damaged"):
        join_sparse("A", parts | {"A.indices": parts["A.indices"] + 100})
