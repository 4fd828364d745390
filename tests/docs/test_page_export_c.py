"""The page on exported files: its Python and its C run, and its numbers are those of the file."""

import re
import subprocess
from pathlib import Path

import numpy as np
from tests.rb.compiled_c import STRICT, STRICTER, compile_c, needs_compiler

PAGE = Path(__file__).resolve().parents[2] / "docs" / "export_c.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


@needs_compiler
def test_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found: dict = {"__name__": "page"}
    for block in blocks("python"):
        exec(block, found)
    words = " ".join(capsys.readouterr().out.replace("\n *", " ").split()).replace(",", "")
    assert "6758 unknowns" in words and "6,758 unknowns" in PAGE.read_text()
    operations, constants, stack = (
        int(re.search(pattern, words)[1])
        for pattern in (r"query: (\d+) additions", r"(\d+) bytes of constants", r"about (\d+) bytes of stack")
    )
    print(operations, constants, stack)
    assert 22_000 < operations < 28_000 and 30_000 < constants < 36_000 and 3_500 < stack < 4_500
    limit = found["certified"].predict(found["module"].parameters.sample(range(50), 1)).outputs["chip 1"].limit
    assert 1e-4 < np.median(limit) < limit.max() < 1e-2
    (tmp_path / "controller.c").write_text(blocks("c")[0])
    done = compile_c(tmp_path / "controller.c", *STRICT, *STRICTER, "-O2", "module.c", "-o", "controller")
    assert done.returncode == 0, done.stderr
    said = subprocess.run([str(tmp_path / "controller")], capture_output=True, text=True, check=True).stdout
    mu = {"k_interface": 2.0, "k_solder": 30.0, "k_chip_solder": 30.0, "h": 5000.0, "P1": 120.0, "P2": 80.0}
    chip = found["certified"].predict({name: np.array([value]) for name, value in mu.items()}).outputs["chip 1"]
    assert said == f"chip 1: {chip.values[0]:.6f} at most {chip.limit[0]:.1e} off, below 125: 1\n"


def test_the_status_bits_are_those_of_the_file():
    template = (PAGE.parents[1] / "src/nwidth/rb/export/templates.py").read_text()
    bits = re.findall(r"#define @NAME@_([A-Z_]+) \d+U", template)
    assert re.findall(r"^\| `([A-Z_]+)` \|", PAGE.read_text(), re.MULTILINE) == bits
