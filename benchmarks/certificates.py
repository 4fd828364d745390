"""Certificates: violations, effectivity, cost, coverage, refinement and routing.

    python benchmarks/certificates.py [--part NAME ...] [--json PATH] [--quick]

Each part is a file `_certificate_NAME_rows.py` of its own.
"""

import sys

import _harness

PARTS = ("bounds", "refine", "nonsymmetric", "total", "time", "coverage", "routing", "evidence")

if __name__ == "__main__":
    sys.exit(_harness.main_of_parts("certificates", {part: f"_certificate_{part}_rows" for part in PARTS}))
