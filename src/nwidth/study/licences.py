"""Which packages the answers of a model come from, in which version, under which licence."""

import re
from collections.abc import Iterable, Iterator
from importlib import metadata

from nwidth.reports.evidence import UNDECLARED, Licence

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")
_OSI = "License :: OSI Approved :: "
#: A licence field longer than this is the text of a licence, not its name.
_LONGEST = 80


def licences(extras: Iterable[str] = ()) -> tuple[Licence, ...]:
    """nwidth and all that it needs, and what the named extras add, as far as it is installed; in alphabetical order.

    Names and licences are those that the packages declare themselves. Which packages are listed depends on what is
    installed, never on what happens to be imported.
    """
    found: dict[str, Licence] = {}
    queue = [("nwidth", tuple(extras))]
    while queue:
        name, wanted = queue.pop()
        key = _canonical(name)
        if key in found:
            continue
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found[key] = Licence(package.metadata["Name"], package.version, licence_of(package.metadata))
        queue += [(needed, ()) for needed in _needs(package.requires or [], wanted)]
    return tuple(found[key] for key in sorted(found))


def licence_of(declared: metadata.PackageMetadata) -> str:
    """The SPDX expression, else the licence's name, else the classifier; 'not declared' where there is none."""
    expression = _field(declared, "License-Expression")
    if expression:
        return expression
    named = _field(declared, "License").splitlines()
    classified = [c.removeprefix(_OSI) for c in declared.get_all("Classifier") or [] if c.startswith(_OSI)]
    if len(named) == 1 and 0 < len(named[0]) <= _LONGEST and named[0].upper() != "UNKNOWN":
        return named[0]
    if classified:
        return ", ".join(classified)
    return f"{named[0].strip()[:_LONGEST]} (text in the package)" if named else UNDECLARED


def _field(declared: metadata.PackageMetadata, name: str) -> str:
    """One field of the package's own declaration, empty where it is missing."""
    return (declared.get_all(name) or [""])[0].strip()


def _needs(requirements: Iterable[str], extras: tuple[str, ...]) -> Iterator[str]:
    """What is required without an extra, or by one of these; other conditions are left to what is installed."""
    for text in requirements:
        asked, name = _EXTRA.findall(text), _NAME.match(text)
        if name and (not asked or set(asked) & set(extras)):
            yield name.group()


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
