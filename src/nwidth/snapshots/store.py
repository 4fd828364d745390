"""The snapshot store: one Zarr v3 group, in which a chunk of samples is the unit of writing, reading and resuming.

    mu/<name> (sample, ...)    fields/u (sample, ...)    outputs/<name> (sample, ...)
    status, residual, iterations, seconds, ... (sample)    sample, x, y, z, time: coordinates
    definition/parameters, definition/space: what rebuilds the spaces

Every per-sample array has the same chunks along the sample axis and one file for each. A chunk is written by one
writer, whole files at a time, `status` last: a sample whose status is not MISSING is complete. Files carry checksums.
"""

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from glob import escape
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.errors import BaseZarrError

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError, WorkError
from nwidth.core.solution import Status
from nwidth.core.storable import Storable
from nwidth.snapshots.axes import SAMPLE
from nwidth.snapshots.definition import read_definition, write_definition, write_static
from nwidth.snapshots.layout import FIELD, STATISTICS, Layout, Spec
from nwidth.snapshots.rows import StoredRows

KEY = "nwidth"
FORMAT = 1
#: Groups of which every chunk exists once its samples are done. A statistic may be missing where a solver has none.
_COMPLETE = ("mu", "fields", "outputs")
_Mode: TypeAlias = Literal["r", "r+"]
_STANDARD = tuple(spec.name for spec in STATISTICS)
#: A chunk that holds nothing but the fill value is written too: a missing file is missing data.
_CONFIG: Any = {"write_empty_chunks": True}
_BLOSC_LIMIT = 2**31 - 1
#: A chunk costs each of its arrays about a millisecond, whatever its size: large enough that this is little for each
#: sample, small enough that the samples of a shuffled batch can be read one by one.
_CHUNK_BYTES = 2**22
LARGEST_CHUNK = 32


def chunk_of(shape: Sequence[int], dtype: Any) -> int:
    """Samples stored together, for fields of this shape and type."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    return max(1, min(LARGEST_CHUNK, _CHUNK_BYTES // max(size, 1)))


@dataclass(frozen=True)
class Block:
    """Consecutive samples, all that is known about them: what is written at once.

    `mu`, `outputs` and `stats` are name -> `(b, ...)`, fields `(b, ...)`, status `(b,)`; `index` holds the numbers of
    the samples.
    """

    index: Array
    mu: Mapping[str, Array]
    fields: Array
    status: Array
    stats: Mapping[str, Array]
    outputs: Mapping[str, Array]

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Name in the store -> values, in the order of writing, without the status."""
        yield SAMPLE, self.index
        yield from ((f"mu/{name}", values) for name, values in self.mu.items())
        yield FIELD, self.fields
        yield from ((f"outputs/{name}", values) for name, values in self.outputs.items())
        yield from self.stats.items()


class Store:
    """A store on disk. `create_store` makes an empty one, `Store(path)` opens one; Snapshots are what users see."""

    def __init__(self, path: Path, writable: bool = False, sweep: bool = False):
        """`sweep` removes what killed writers left; only for the holder of the lock."""
        self.path = path
        self._mode: _Mode = "r+" if writable else "r"
        self._group = _open_group(path, self._mode)
        self.header = _checked_header(path, self._group.attrs.get(KEY))
        self.chunk = int(self.header["chunk"])
        if sweep:
            self._remove_partial_files()
        with _malformed_is_input_error(path):
            self._arrays = {name: self._open_array(name) for name in self._names()}
        self._check()

    @property
    def count(self) -> int:
        """Number of samples. Status is lengthened last, so other arrays may be longer after an interruption."""
        return int(self._arrays["status"].shape[0])

    def definition(self, name: str, kinds: Sequence[type]) -> Storable:
        """The space 'parameters' or 'space' again."""
        if f"definition/{name}" not in self._group:
            raise InputError(f"{self.path / 'definition' / name} is missing; the store was altered: restore it")
        return read_definition(zarr.open_group(self.path, path=f"definition/{name}", mode="r"), kinds)

    def status(self) -> Array:
        """Status of every sample, `(B,)`."""
        return np.asarray(self.rows("status"))

    def todo(self) -> list[int]:
        """The chunks with a sample that is not complete."""
        missing = np.flatnonzero(self.status() == Status.MISSING)
        return np.unique(missing // self.chunk).tolist()

    def names(self, group: str) -> list[str]:
        """Names of the arrays in a group, or of the per-sample statistics for ''."""
        if group:
            return [name.partition("/")[2] for name in self._arrays if name.startswith(f"{group}/")]
        own = [name for name in self._arrays if "/" not in name and name not in _STANDARD]
        return [*(name for name in _STANDARD if name not in ("status", SAMPLE)), *sorted(own)]

    def rows(self, name: str) -> StoredRows:
        """The rows of a per-sample array, read on demand."""
        return StoredRows(self._arrays[name], self.path / name, np.arange(self.count))

    def coordinate(self, name: str) -> Array | None:
        """A coordinate at the top of the store, or None."""
        return np.asarray(zarr.open_array(self.path, path=name, mode="r")[...]) if name in self._group else None

    def write(self, block: Block, first: int) -> None:
        """A block that begins at row `first`, the start of a chunk. Raises WorkError where the disk is full."""
        rows = slice(first, first + len(block.status))
        with full_disk_is_work_error(self.path):
            if self._known[rows].any():
                self._arrays["status"][rows] = Status.MISSING  # a chunk that is redone is first declared missing
            for name, values in block.arrays():
                self._array_for(name)[rows] = values
            self._arrays["status"][rows] = block.status

    def add_run(self, record: Mapping[str, Any]) -> None:
        """Notes how the latest chunks were made, beside earlier records. Only for the holder of the lock."""
        self.header["runs"] = [*self.header.get("runs", []), dict(record)]
        with full_disk_is_work_error(self.path):
            self._group.attrs[KEY] = self.header

    def grow(self, count: int) -> None:
        """Room for more samples. The status comes last: an interruption leaves the store at its old length."""
        with full_disk_is_work_error(self.path):
            for name in sorted(self._arrays, key=lambda n: n == "status"):
                array = self._arrays[name]
                if array.shape[0] < count:
                    array.resize((count, *array.shape[1:]))

    def _remove_partial_files(self) -> None:
        for file in list(self.path.rglob("*.partial")):
            file.unlink(missing_ok=True)

    def _names(self) -> Iterator[str]:
        for name, member in self._group.members(max_depth=None):
            axes = getattr(member.metadata, "dimension_names", None) or ()
            if axes[:1] == (SAMPLE,) and not name.startswith("definition/"):
                yield name

    def _open_array(self, name: str) -> zarr.Array:
        with zarr.config.set({f"array.{key}": value for key, value in _CONFIG.items()}):
            return zarr.open_array(self.path, path=name, mode=self._mode, zarr_format=3)

    def _array_for(self, name: str) -> zarr.Array:
        """A solver's own statistic gets its array when it first appears; all writers would make the same file."""
        if name not in self._arrays:
            with suppress(BaseZarrError):  # another writer was faster
                _create_array(self._group, Spec(name, (), np.dtype(float)), self.count, self.chunk)
            self._arrays[name] = self._open_array(name)
        return self._arrays[name]

    def _check(self) -> None:
        """Everything that must be there is there. Raises InputError that names what is not."""
        missing = [name for name in (*_STANDARD, FIELD) if name not in self._arrays]
        if missing or not self.names("mu"):
            raise InputError(f"{self.path} lacks {', '.join(missing) or 'mu'}; restore it from a copy")
        for name, array in self._arrays.items():
            if array.shape[0] < self.count or array.chunks[0] != self.chunk:
                raise InputError(
                    f"{self.path / name} has {array.shape[0]} rows in chunks of {array.chunks[0]}, expected "
                    f"{self.count} in chunks of {self.chunk}; the store was altered: restore it from a copy"
                )
        self._known = self.status()
        done = np.unique(np.flatnonzero(self._known) // self.chunk)
        for name in self._arrays:
            if name.startswith(_COMPLETE):
                self._check_files(name, done)

    def _check_files(self, name: str, done: Array) -> None:
        """A missing file would read as fill values; absence must not pass for data."""
        files = set(os.listdir(self.path / name))
        rest = ".0" * (self._arrays[name].ndim - 1)
        for k in done:
            if f"c.{k}{rest}" not in files:
                raise InputError(
                    f"{self.path / name / f'c.{k}{rest}'} is missing although its samples were complete; restore it "
                    f"from a copy, or delete {self.path / 'status' / f'c.{k}'} and generate again"
                )


def is_taken(path: Path) -> bool:
    """Whether something other than an empty folder is at `path`."""
    return path.exists() and not (path.is_dir() and not any(path.iterdir()))


def create_store(path: Path, layout: Layout, count: int, chunk: int, header: Mapping[str, Any]) -> None:
    """An empty store for `count` samples, which appears under its name only when it is complete.

    Only for the holder of the lock. Raises InputError where something is in the way.
    """
    with building(path) as temporary:
        start_store(temporary, layout, count, chunk, header)


def start_store(folder: Path, layout: Layout, count: int, chunk: int, header: Mapping[str, Any]) -> None:
    """The arrays, attributes and definitions of an empty store, in a folder that nobody looks at yet."""
    group = zarr.open_group(folder, mode="w-", zarr_format=3)
    group.attrs[KEY] = {"what": "snapshots", "format": FORMAT, "chunk": chunk, **header}
    for spec in (*layout.specs, *STATISTICS):
        _create_array(group, spec, count, chunk)
    for name, (dims, values) in layout.coordinates.items():
        write_static(group, name, values, dims)
    for name, space in layout.definitions.items():
        write_definition(group.create_group(f"definition/{name}"), space)


@contextmanager
def building(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its name when all went well, and is removed when not."""
    if is_taken(path):
        raise InputError(f"{path} exists already; choose another path, or remove it first")
    for stale in path.parent.glob(f".{escape(path.name)}.*.building"):
        shutil.rmtree(stale, ignore_errors=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.building")
    try:
        with full_disk_is_work_error(path):
            yield temporary
            if path.exists():
                path.rmdir()
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def full_disk_is_work_error(path: Path) -> Iterator[None]:
    """Turns a full disk or quota into a WorkError that says how to go on."""
    try:
        yield
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT):
            raise
        raise WorkError(
            f"no space left for {path} ({error.strerror}); make room and repeat the call: what is complete is kept"
        ) from error


def _checked_header(path: Path, header: Any) -> dict[str, Any]:
    if not isinstance(header, Mapping) or header.get("what") != "snapshots" or "format" not in header:
        raise InputError(f"{path} is a Zarr group but not a snapshot store; expected one that nwidth wrote")
    if header["format"] != FORMAT:
        raise InputError(
            f"{path} has snapshot format {header['format']}, this version reads {FORMAT}; open it with the version "
            "that wrote it, or update nwidth"
        )
    missing = [name for name in ("chunk", "provenance", "generated") if name not in header]
    if missing:
        raise InputError(f"{path} lacks the attributes {missing}; the store was altered: restore it from a copy")
    return dict(header)


def _open_group(path: Path, mode: _Mode) -> zarr.Group:
    if not path.exists():
        raise InputError(f"there is no snapshot store at {path}; make one with nw.generate(..., path={str(path)!r})")
    with _malformed_is_input_error(path):
        return zarr.open_group(path, mode=mode, zarr_format=3)


@contextmanager
def _malformed_is_input_error(path: Path) -> Iterator[None]:
    try:
        yield
    except (BaseZarrError, OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a snapshot store (a Zarr v3 group): {error}") from error


def _create_array(group: zarr.Group, spec: Spec, count: int, chunk: int) -> None:
    size = chunk * int(np.prod(spec.shape, dtype=np.int64)) * spec.dtype.itemsize
    packed = BloscCodec(cname="lz4", clevel=1, shuffle="shuffle") if size < _BLOSC_LIMIT else ZstdCodec(level=1)
    group.create_array(
        spec.name,
        shape=(count, *spec.shape),
        chunks=(chunk, *(max(n, 1) for n in spec.shape)),
        dtype=spec.dtype,
        fill_value=_fill(spec),
        compressors=[packed, Crc32cCodec()],
        chunk_key_encoding={"name": "default", "separator": "."},
        dimension_names=(SAMPLE, *spec.dims),
        attributes=dict(spec.attributes),
        config=_CONFIG,
    )


def _fill(spec: Spec) -> Any:
    if spec.dtype.kind in "fc":
        return np.nan
    return -1 if spec.dtype.kind == "i" else 0
