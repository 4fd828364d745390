"""The index of limits is whole: every certificate is in it, every page that it names exists, and every page that has
limits is named."""

import re
from pathlib import Path

from nwidth.core.kinds import BUILTIN

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "certificates.md").read_text()
#: Estimates only, for a user who asks for a guarantee that is not to be had.
UNNAMED = {"MatrixEstimate"}


def test_every_certificate_is_in_the_index():
    classes = {target.partition(":")[2] for target in BUILTIN.values() if "certificates." in target}
    named = {name for name in classes if name.endswith("Certificate")}
    assert len(named) >= 12
    assert sorted(name for name in named - UNNAMED if f"`{name}`" not in PAGE) == []


def test_every_page_that_is_named_exists():
    for name in set(re.findall(r"\]\(([\w/.-]+\.md)\)", PAGE)):
        assert (DOCS / name).is_file(), name


def test_every_row_names_its_page():
    rows = [line for line in PAGE.splitlines() if line.startswith("| `") and line.count("|") > 5]
    assert len(rows) >= 15
    assert [row for row in rows if ".md)" not in row] == []
