"""Readers go by content, return what was written, and refuse what is not what it claims."""

import os
import zipfile

import meshio
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nwidth.core.errors import InputError
from nwidth.io.detect import detect
from nwidth.io.readers.base import read_arrays, read_field
from nwidth.io.readers.table import read_table


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def test_a_table_with_units_names_and_failed_runs(tmp_path):
    table = read_table(
        write(tmp_path / "t.txt", "run,k [W/mK],T_max (°C),status\na,1,90.5,ok\nb,2e0,,failed\nc,3,NaN,ok\n")
    )
    assert table.units == {"k": "W/mK", "T_max": "°C"}
    np.testing.assert_array_equal(table.numbers["k"], [1, 2, 3])
    np.testing.assert_array_equal(table.numbers["T_max"], [90.5, np.nan, np.nan])
    assert table.texts == {"run": ("a", "b", "c"), "status": ("ok", "failed", "ok")}
    assert list(table.lines) == [2, 3, 4]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("\ufeffa;b\n1,5;2\n3;-1,25e1\n", "utf-8"),
        ("a\tb\n1.5\t2\n3\t-12.5\n", "utf-8"),
        ("# exported\n\na, b\r\n1.5, 2\r\n3, -12.5\r\n", "utf-8"),
        ('"a","b [°]"\n1.5,2\n3,-1.25D1\n', "cp1252"),
    ],
)
def test_separators_decimal_commas_and_encodings(text, encoding, tmp_path):
    table = read_table(write(tmp_path / "t.csv", text, encoding))
    np.testing.assert_array_equal(table.numbers["a"], [1.5, 3])
    np.testing.assert_array_equal(table.numbers["b"], [2, -12.5])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n3\n", "line 3: 1 cells, the header has 2"),
        ("a,a\n1,2\n", "'a' appears twice"),
        ("1,2\n3,4\n", "expected a header"),
        ("a,b\n", "a header and no rows"),
        ("a,b\n1,2\n2,3\n3,1.2.3\n", "line 4: '1.2.3' in column 'b' is not a number"),
        ("a,\n1,2\n", "column 2 holds values and has no name"),
        ('a,b\n"1,2\n3,4\n', "not a readable table"),
        ("# only\n# comments\n", "holds no table"),
    ],
)
def test_a_table_with_a_mistake_names_the_line(text, says, tmp_path):
    with pytest.raises(InputError, match=says):
        read_table(write(tmp_path / "t.csv", text))


def test_the_quick_way_of_large_tables_reads_what_the_careful_one_reads(tmp_path):
    values = np.random.default_rng(0).standard_normal((2000, 3))
    body = "\n".join(",".join(f"{v:.17g}" for v in row) for row in values)
    quick = read_table(write(tmp_path / "quick.csv", f"x,y [m],u\n{body}\n"))
    careful = read_table(write(tmp_path / "careful.csv", f"# a comment\nx,y [m],u\n{body}\n"))
    for i, name in enumerate(("x", "y", "u")):
        np.testing.assert_array_equal(quick.numbers[name], values[:, i])
        np.testing.assert_array_equal(careful.numbers[name], values[:, i])
    assert quick.units == careful.units
    broken = read_table(write(tmp_path / "gap.csv", f"x,y,u\n{body}\n1,2,failed\n"))
    assert np.isnan(broken.numbers["u"][-1])


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20))
def test_any_number_is_read_back(values):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "t.csv", "v\n" + "".join(f"{v!r}\n" for v in values))
        np.testing.assert_array_equal(read_table(path).numbers["v"], values)


def test_one_field_in_npz_vtu_and_csv_is_the_same_field(tmp_path):
    rng = np.random.default_rng(1)
    points, cells = rng.random((5, 2)), np.array([[0, 1, 2], [2, 3, 4]])
    u, T = rng.standard_normal((5, 2)), rng.standard_normal(5)
    np.savez(tmp_path / "a.dat", u=u, T=T, coordinates=points, triangles=cells, T_max=T.max())
    (tmp_path / "a.dat.npz").rename(tmp_path / "a.wrong")
    mesh = meshio.Mesh(np.c_[points, np.zeros(5)], [("triangle", cells)], point_data={"u": u, "T": T})
    mesh.write(tmp_path / "b.vtu")
    rows = "\n".join(",".join(f"{v:.17g}" for v in row) for row in np.c_[points, u, T])
    write(tmp_path / "c.csv", f'"Points:0","Points:1",u_x,u_y,T\n{rows}\n')
    for name in ("a.wrong", "b.vtu", "c.csv"):
        file = read_field(tmp_path / name)
        np.testing.assert_array_equal(file.coordinates, points)
        np.testing.assert_array_equal(file.arrays["T"], T)
        vector = file.arrays["u"] if "u" in file.arrays else np.stack([file.arrays["u_x"], file.arrays["u_y"]])
        np.testing.assert_array_equal(vector, u.T)
        if name != "c.csv":
            np.testing.assert_array_equal(file.cells, cells)
    assert read_field(tmp_path / "a.wrong").scalars == {"T_max": T.max()}


def test_cell_data_sit_at_the_centres_and_empty_meshes_are_refused(tmp_path):
    points, cells = np.array([[0, 0, 0], [3, 0, 0], [0, 3, 0.0]]), np.array([[0, 1, 2]])
    meshio.Mesh(points, [("triangle", cells)], cell_data={"s": [np.array([7.0])]}).write(tmp_path / "a.vtu")
    file = read_field(tmp_path / "a.vtu")
    np.testing.assert_allclose(file.coordinates, [[1, 1]], rtol=1e-15)
    np.testing.assert_array_equal(file.arrays["s"], [7.0])
    meshio.Mesh(points, [("triangle", cells)]).write(tmp_path / "b.vtu")
    with pytest.raises(InputError, match="mesh without results"):
        read_field(tmp_path / "b.vtu")


def test_torch_dictionaries_and_lists(tmp_path):
    content = {
        "x": torch.tensor([[True], [False]]),
        "y": torch.arange(4.0).reshape(2, 2),
        "visc": torch.tensor([[0.01]]),
    }
    torch.save(content, tmp_path / "a.pt")
    file = read_arrays(tmp_path / "a.pt")
    assert file.arrays["x"].dtype == bool and "neuraloperator" in file.notes[0]
    np.testing.assert_array_equal(file.arrays["y"], [[0, 1], [2, 3]])
    torch.save([{"press": torch.zeros(3, dtype=torch.bfloat16)}, {"press": torch.ones(3)}], tmp_path / "b.pt")
    assert list(read_arrays(tmp_path / "b.pt").arrays) == ["[0].press", "[1].press"]


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("bomb",)


def test_code_inside_a_torch_file_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"x": torch.zeros(2), "extra": Bomb()}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match="could run code when opened"):
        read_arrays(tmp_path / "evil.pt")
    np.savez(tmp_path / "evil.npz", x=np.array([Bomb()], dtype=object))
    with pytest.raises(InputError, match="could run code"):
        read_arrays(tmp_path / "evil.npz")
    assert not (tmp_path / "bomb").exists()
    torch.load(tmp_path / "evil.pt", weights_only=False)
    assert (tmp_path / "bomb").exists(), "the file of this test was harmless"


@pytest.mark.parametrize("kind", ["npz", "npy", "torch", "vtu"])
def test_every_truncation_is_an_input_error(kind, tmp_path):
    path = tmp_path / "whole"
    if kind == "npz":
        np.savez(tmp_path / "whole.npz", a=np.arange(50.0), b=np.ones(3))
        (tmp_path / "whole.npz").rename(path)
    elif kind == "npy":
        np.save(tmp_path / "whole.npy", np.arange(50.0))
        (tmp_path / "whole.npy").rename(path)
    elif kind == "torch":
        torch.save({"x": torch.arange(50.0)}, path)
    else:
        mesh = meshio.Mesh(np.eye(3), [("triangle", np.array([[0, 1, 2]]))], point_data={"u": np.arange(3.0)})
        mesh.write(path, file_format="vtu")
    whole = path.read_bytes()
    assert detect(path) == kind
    cut = tmp_path / "cut"
    for size in range(0, len(whole) - 2, max(1, len(whole) // 60)):
        cut.write_bytes(whole[:size])
        with pytest.raises(InputError):
            read_arrays(cut)


def test_a_file_that_is_not_what_it_claims_is_called_by_its_name(tmp_path):
    with pytest.raises(InputError, match=r"runs\.npz is a text table .*; expected arrays"):
        read_arrays(write(tmp_path / "runs.npz", "a,b\n1,2\n"))
    np.savez(tmp_path / "x.npz", a=np.ones(2))
    (tmp_path / "x.npz").rename(tmp_path / "runs.csv")
    with pytest.raises(InputError, match=r"runs\.csv is NumPy arrays \(NPZ\); expected a text table"):
        read_table(tmp_path / "runs.csv")
    with zipfile.ZipFile(tmp_path / "book.csv", "w") as archive:
        archive.writestr("xl/workbook.xml", "")
    with pytest.raises(InputError, match="Excel workbook"):
        read_table(tmp_path / "book.csv")
    write(tmp_path / "page.vtu", "<!DOCTYPE html><title>404</title>")
    with pytest.raises(InputError, match="an HTML page"):
        read_field(tmp_path / "page.vtu")


def test_text_in_a_npz_and_a_wrong_node_count_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", names=np.array(["a", "b"]))
    with pytest.raises(InputError, match="'names' holds <U1"):
        read_field(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", u=np.ones(4), coordinates=np.ones((5, 2)))
    with pytest.raises(InputError, match=r"'u' has shape \(4,\), the mesh has 5 nodes"):
        read_field(tmp_path / "b.npz")
