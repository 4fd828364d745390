"""Counts of software tests from a JUnit XML file, as `pytest --junitxml tests.xml` writes it."""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from nwidth.core.errors import InputError


@dataclass(frozen=True)
class TestCounts:
    """How many tests passed, failed (errors included) and were skipped."""

    __test__ = False  # not a test of pytest's

    passed: int
    failed: int
    skipped: int


def read_test_counts(path: str | Path) -> TestCounts:
    """The counts in a JUnit XML file. Raises InputError for a file that is none, or holds no test."""
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise InputError(
            f"the test results {path} cannot be read: {error.strerror or error}; check the name"
        ) from error
    except ElementTree.ParseError as error:
        raise InputError(f"{path} is not XML ({error}); make it with: pytest --junitxml tests.xml") from error
    cases = list(root.iter("testcase"))
    if not cases:
        raise InputError(f"{path} holds no test cases; make it with: pytest --junitxml tests.xml")
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    return TestCounts(len(cases) - failed - skipped, failed, skipped)
