"""The model file `NAME.nwidth`: one zip of a manifest and safetensors. Loading executes nothing that it reads.

    manifest.json            format, version, the tree of kinds with their configurations, provenance, and the size
                             and SHA-256 of every other member; the manifest holds a SHA-256 of itself
    arrays/NODE.safetensors  the arrays of one node of the tree

The same object gives the same bytes: members carry no time stamp. An object that occurs twice in the tree (a problem,
in a surrogate and in its certificate) is stored once, and is one object again after loading.
"""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from nwidth._version import __version__
from nwidth.core.errors import InputError
from nwidth.core.kinds import resolve
from nwidth.core.storable import Storable, canonical_json
from nwidth.io.arrays import decode, encode
from nwidth.io.atomic import write_atomically
from nwidth.io.detect import describe_kind, detect
from nwidth.io.migrate import VERSION, Manifest, migrate

FORMAT = "nwidth-model"
MANIFEST = "manifest.json"

#: What a damaged zip can raise while it is read.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError, KeyError)
#: What `from_parts` of a class can raise on parts that it did not write.
_MISFIT = (KeyError, TypeError, ValueError, IndexError, AttributeError)


def save(obj: Storable, path: str | Path, *, provenance: Mapping[str, Any] | None = None) -> Path:
    """Write the object to `path` (usually NAME.nwidth), all or nothing; `provenance` is kept in the manifest.

    Raises InputError for an object that is not Storable or holds what cannot be stored, WorkError for a full disk.
    """
    if isinstance(obj, (str, Path)):
        raise InputError(f"got the path {str(obj)!r} first; expected save(object, path)")
    if not isinstance(obj, Storable):
        raise InputError(
            f"{type(obj).__name__} cannot be saved: it is not Storable; inherit nwidth.core.storable.Storable with "
            "kind, to_parts and from_parts"
        )
    members: dict[str, bytes] = {}
    tree = _take_apart(obj, "object", members, {})
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "object": tree,
        "provenance": {"nwidth": __version__, "numpy": np.__version__, **(provenance or {})},
        "members": {name: {"bytes": len(data), "sha256": _sha(data)} for name, data in members.items()},
    }
    text = canonical_json(manifest | {"sha256": _seal(manifest)}, "the file").encode()
    return write_atomically(path, lambda stream: _write_zip(stream, {MANIFEST: text} | members))


def load(path: str | Path, kinds: Sequence[type] = ()) -> Any:
    """The object in a model file; `kinds` holds classes of your own that it may contain.

    Raises InputError for a file that is truncated, altered (SHA-256), newer than this nwidth, of another format, or
    that holds an unknown kind.
    """
    with _Archive.open(path) as archive:
        return _put_together(archive, archive.manifest.get("object"), kinds, "object", {})


def read_manifest(path: str | Path) -> Manifest:
    """The manifest alone: what the file holds, without its arrays. Raises InputError as `load` does."""
    with _Archive.open(path) as archive:
        return archive.manifest


#: Objects that are in the tree already, by identity, with their place; holding them keeps their identity theirs.
_Seen: TypeAlias = dict[int, tuple[Storable, str]]


def _take_apart(obj: Storable, place: str, members: dict[str, bytes], seen: _Seen) -> dict[str, Any]:
    """The node of one object in the tree; its arrays go to `members`. Children in alphabetical order, as they are read:
    the first place of an object that occurs twice comes first in both directions."""
    if id(obj) in seen:
        return {"kind": obj.kind, "config": {}, "children": {}, "same": seen[id(obj)][1]}
    seen[id(obj)] = (obj, place)
    parts = obj.to_parts()
    node: dict[str, Any] = {"kind": obj.kind, "config": json.loads(canonical_json(parts.config, repr(obj.kind)))}
    if parts.arrays:
        name = f"arrays/{place}.safetensors"
        members[name], paired = encode(parts.arrays, repr(obj.kind))
        node |= {"member": name, "complex": paired}
    children = sorted(parts.children.items())
    node["children"] = {key: _take_apart(child, f"{place}.{key}", members, seen) for key, child in children}
    return node


def _put_together(archive: "_Archive", node: Any, kinds: Sequence[type], place: str, made: dict[str, Any]) -> Any:
    archive.check_node(node)
    if "same" in node:
        return archive.earlier(node["same"], made)
    cls = resolve(node["kind"], kinds)
    arrays = decode(archive.read(node["member"]), node["complex"]) if "member" in node else {}
    children = {
        name: _put_together(archive, child, kinds, f"{place}.{name}", made)
        for name, child in sorted(node["children"].items())
    }
    try:
        made[place] = cls.from_parts(node["config"], arrays, children)
    except InputError:
        raise
    except _MISFIT as error:
        raise InputError(
            f"the parts in {archive.path} do not make a {node['kind']!r}: {type(error).__name__}: {error}"
        ) from error
    return made[place]


def _write_zip(stream: BinaryIO, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), data)


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _seal(manifest: Manifest) -> str:
    """The manifest's SHA-256 of itself, without that entry."""
    return _sha(canonical_json({k: v for k, v in manifest.items() if k != "sha256"}, "the manifest").encode())


@dataclass
class _Archive:
    """An open model file whose members are checked as they are read."""

    path: Path
    zip: zipfile.ZipFile
    manifest: Manifest = field(default_factory=dict)

    @classmethod
    def open(cls, path: str | Path) -> "_Archive":
        path = Path(path)
        found = detect(path)
        if found not in ("model", "zip", "damaged zip"):
            raise InputError(f"{path} is {describe_kind(found)}, not an nwidth model")
        try:
            archive = cls(path, zipfile.ZipFile(path))
        except _DAMAGE as error:
            raise InputError(
                f"{path} is truncated or damaged ({error}); copy it again or save the model again"
            ) from error
        archive._open_manifest()
        return archive

    def __enter__(self) -> "_Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self.zip.close()

    def _open_manifest(self) -> None:
        try:
            self.manifest = self._checked_manifest()
        except BaseException:
            self.zip.close()
            raise

    def _checked_manifest(self) -> Manifest:
        names = self.zip.namelist()
        if MANIFEST not in names:
            raise InputError(f"{self.path} is a zip without {MANIFEST}, not an nwidth model")
        manifest = self._parse(self._bytes(MANIFEST))
        if manifest.get("format") != FORMAT:
            raise InputError(f"{self.path} has the format {manifest.get('format')!r}, expected {FORMAT!r}")
        sealed = manifest.get("sha256") == _seal(manifest)
        manifest = migrate(manifest)
        if not sealed:
            raise InputError(f"{self.path} was altered: the SHA-256 of {MANIFEST} does not match; get the original")
        if sorted(names) != sorted([MANIFEST, *manifest.get("members", {})]):
            raise InputError(f"{self.path} was altered: its members are not those that its manifest lists")
        return manifest

    def _parse(self, data: bytes) -> Manifest:
        try:
            manifest = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{self.path} is damaged: {MANIFEST} is not JSON ({error})") from error
        if not isinstance(manifest, dict):
            raise InputError(f"{self.path} is damaged: {MANIFEST} is not a mapping")
        return manifest

    def check_node(self, node: Any) -> None:
        """InputError where an entry of the tree of kinds lacks what every entry has."""
        wanted = {"kind": str, "config": dict, "children": dict}
        if not isinstance(node, dict) or not all(isinstance(node.get(k), t) for k, t in wanted.items()):
            raise InputError(f"{self.path} is damaged: an entry of its tree lacks kind, config or children")

    def earlier(self, place: Any, made: Mapping[str, Any]) -> Any:
        """The object at another place of the tree, which was read before."""
        if not isinstance(place, str) or place not in made:
            raise InputError(f"{self.path} is damaged: an entry of its tree refers to {place!r}, which is not there")
        return made[place]

    def read(self, name: str) -> bytes:
        """The bytes of one member, size and SHA-256 checked."""
        expected = self.manifest["members"].get(name)
        if expected is None or self.zip.getinfo(name).file_size != expected["bytes"]:
            raise InputError(f"{self.path} was altered: {name} is missing or has another size than its manifest says")
        data = self._bytes(name)
        if _sha(data) != expected["sha256"]:
            raise InputError(f"{self.path} was altered: the SHA-256 of {name} does not match; get the original")
        return data

    def _bytes(self, name: str) -> bytes:
        try:
            return self.zip.read(name)
        except _DAMAGE as error:
            raise InputError(f"{self.path} is truncated or damaged at {name} ({error}); get the original") from error
