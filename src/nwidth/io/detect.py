"""What a file is, by its content: its name may say anything."""

import codecs
import zipfile
from pathlib import Path

from nwidth.core.errors import InputError

#: kind -> what to call it. The first nine are read; the others are recognised so that an error can name them.
NAMES = {
    "model": "an nwidth model",
    "store": "a snapshot store (Zarr)",
    "table": "a text table (CSV)",
    "npz": "NumPy arrays (NPZ)",
    "npy": "one NumPy array (NPY)",
    "npy-folder": "a folder of NumPy arrays",
    "vtu": "a VTK unstructured grid (VTU)",
    "torch": "tensors saved by torch (.pt)",
    "hdf5": "an HDF5 file",
    "pickle": "a Python pickle, which could run code when opened",
    "xml": "an XML file of another kind",
    "image": "an image",
    "pdf": "a PDF document",
    "gzip": "a gzip-compressed file",
    "excel": "an Excel workbook (save it as CSV)",
    "zip": "a zip of something else",
    "damaged zip": "a truncated or damaged zip",
    "lfs": "a placeholder of Git LFS (fetch the real file: git lfs pull)",
    "html": "an HTML page (a failed download?)",
    "json": "JSON text",
    "folder": "a folder of something else",
    "empty": "an empty file",
    "binary": "a binary file of unknown kind",
}

_MAGIC = (
    (b"\x93NUMPY", "npy"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"\x89PNG", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"%PDF", "pdf"),
    (b"\x1f\x8b", "gzip"),
    (b"version https://git-lfs", "lfs"),
    (b"\xd0\xcf\x11\xe0", "excel"),
)
_PICKLE = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_HEAD = 1 << 16


def describe_kind(kind: str) -> str:
    """The words for a kind."""
    return NAMES[kind]


def detect(path: str | Path) -> str:
    """A key of `NAMES`. Raises InputError where there is nothing at `path` or it cannot be read."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"there is no file {path}; check the name")
    try:
        if path.is_dir():
            return _folder(path)
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zip(path)
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head.startswith(_PICKLE):
        return "pickle"
    return _text(head) if head else "empty"


def _folder(path: Path) -> str:
    if (path / "zarr.json").is_file() or (path / ".zgroup").is_file():
        return "store"
    return "npy-folder" if any(path.glob("*.npy")) else "folder"


def _zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, UnicodeDecodeError):
        return "damaged zip"
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
        return "torch"
    if "manifest.json" in names and all(n == "manifest.json" or n.endswith(".safetensors") for n in names):
        return "model"
    if "xl/workbook.xml" in names:
        return "excel"
    return "npz" if names and all(name.endswith(".npy") for name in names) else "zip"


def _text(head: bytes) -> str:
    if b"\0" in head or not _is_text(head):
        return "binary"
    start = head.lstrip(codecs.BOM_UTF8).lstrip()[:4096]
    if start.startswith((b"<?xml", b"<VTKFile")):
        return "vtu" if b"UnstructuredGrid" in start and b"VTKFile" in start else "xml"
    if start[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "html"
    if start.startswith((b"{", b"[")):
        return "json"
    return "table" if start else "empty"


def _is_text(head: bytes) -> bool:
    """Whether these bytes are text: UTF-8, or one byte per letter without control codes."""
    try:
        codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return not any(byte < 32 and byte not in b"\t\n\r\f" for byte in head)
    return not any(byte < 32 and byte not in b"\t\n\r\f" for byte in head)
