"""Manifests of older formats, brought up to date one version at a time."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from nwidth.core.errors import InputError

Manifest: TypeAlias = dict[str, Any]
Step: TypeAlias = Callable[[Manifest], Manifest]

#: The format that this version writes.
VERSION = 2


def _without_references(manifest: Manifest) -> Manifest:
    """Version 2 stores an object that occurs twice once, with a reference; a file without references is the same."""
    return manifest


#: version -> what turns a manifest of that version into one of the next.
STEPS: Mapping[int, Step] = MappingProxyType({1: _without_references})


def migrate(manifest: Manifest, steps: Mapping[int, Step] = STEPS, current: int = VERSION) -> Manifest:
    """The manifest in the current format.

    Raises InputError for a newer format, or an older one that nothing leads on from.
    """
    version = manifest.get("version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise InputError(f"the format version is {version!r}, expected a whole number; the file is damaged")
    if version > current:
        raise InputError(
            f"the file has format {version}, this nwidth reads up to {current}; update it: pip install -U nwidth"
        )
    while version < current:
        if version not in steps:
            raise InputError(
                f"the file has format {version}, which this nwidth no longer reads (it reads "
                f"{min(steps, default=current)} to {current}); load and save it with a version in between"
            )
        manifest = steps[version](manifest)
        version += 1
    return manifest | {"version": current}
