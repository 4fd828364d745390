"""Runs and their results find each other by name, by number or in order; failed ones are counted with a reason."""

import numpy as np
import pytest

from nwidth.core.errors import InputError
from nwidth.io.readers.runs import read_runs

POINTS = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])


def field(i):
    return np.array([i, 2.0 * i, i**2, 1.0])


def make(tmp_path, rows, header="run,a,b,thickness,status"):
    path = tmp_path / "runs.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def save_fields(tmp_path, names, **extra):
    folder = tmp_path / "results"
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(names):
        if name:
            np.savez(folder / f"{name}.npz", T=field(i), coordinates=POINTS, T_mean=field(i).mean(), **extra)
    return folder


ROWS = ["r5,1,10,3,ok", "r2,2,12,3,ok", "r9,3,11,3,failed", "r1,4,15,3,ok"]


def test_by_name_whatever_the_order(tmp_path):
    runs = read_runs(make(tmp_path, ROWS), save_fields(tmp_path, ["r5", "r2", None, "r1"]))
    assert runs.names == ("r5", "r2", "r9", "r1")
    np.testing.assert_array_equal(runs.good, [True, True, False, True])
    np.testing.assert_array_equal(runs.fields[runs.good], [field(0), field(1), field(3)])
    np.testing.assert_array_equal(runs.outputs["T_mean"][runs.good], [field(i).mean() for i in (0, 1, 3)])
    assert list(runs.parameters) == ["a", "b"] and runs.fixed == {"thickness": 3.0}
    assert runs.failed == {"r9": "status: failed"}
    np.testing.assert_array_equal(runs.coordinates, POINTS)


@pytest.mark.parametrize("base", [0, 1])
def test_by_number_with_the_failed_one_missing(base, tmp_path):
    rows = [f"{i},{10 + i**2},{'failed' if i == 2 else 'ok'}" for i in range(5)]
    names = [None if i == 2 else f"case_{i + base:03d}" for i in range(5)]
    runs = read_runs(make(tmp_path, rows, "a,b,status"), save_fields(tmp_path, names))
    np.testing.assert_array_equal(np.flatnonzero(runs.good), [0, 1, 3, 4])
    np.testing.assert_array_equal(runs.fields[4], field(4))


def test_an_unclear_numbering_is_refused(tmp_path):
    rows = [f"{i},{10 + i**2}" for i in range(5)]
    folder = save_fields(tmp_path, [None, "c1", "c2", "c3", None])
    with pytest.raises(InputError, match="not clear which belongs to which.*column 'run'"):
        read_runs(make(tmp_path, rows, "a,b"), folder)


def test_a_missing_file_and_a_missing_number_are_failed_runs(tmp_path):
    rows = ["r0,1,5,3,ok", "r1,,6,3,ok", "r2,3,7,3,ok", "r3,4,9,3,ok"]
    runs = read_runs(make(tmp_path, rows), save_fields(tmp_path, ["r0", "r1", None, "r3"]))
    np.testing.assert_array_equal(np.flatnonzero(runs.good), [0, 3])
    assert runs.failed == {"r2": "no file in results/", "r1": "a is not a finite number"}


@pytest.mark.parametrize(
    ("column", "words", "good"),
    [
        ("status", ["ok", "", "diverged", "Converged"], [0, 3]),
        ("status", ["", "", "failed", ""], [0, 1, 3]),
        ("failed", ["no", "", "yes", "False"], [0, 1, 3]),
        ("failed", ["0", "0", "1", "0"], [0, 1, 3]),
        ("converged", ["1", "0", "1", "1"], [0, 2, 3]),
        ("success", ["true", "true", "false", "true"], [0, 1, 3]),
    ],
)
def test_the_words_of_failure(column, words, good, tmp_path):
    rows = [f"{i},{i**2},{word}" for i, word in enumerate(words)]
    runs = read_runs(make(tmp_path, rows, f"a,T,{column}"), outputs=["T"])
    np.testing.assert_array_equal(np.flatnonzero(runs.good), good)


def test_a_nan_in_a_field_is_a_failed_run(tmp_path):
    folder = save_fields(tmp_path, ["r5", "r2", "r9", "r1"])
    np.savez(folder / "r2.npz", T=np.array([1, np.nan, 2, 3]), coordinates=POINTS, T_mean=1.0)
    runs = read_runs(make(tmp_path, ROWS), folder)
    assert runs.failed["r2"] == "the field is not a finite number"


def test_scalar_columns_and_a_second_table(tmp_path):
    table = make(tmp_path, ["1,7,90", "2,8,", "3,6,95"], "a,b,T_max [°C]")
    runs = read_runs(table, outputs=["T_max"])
    assert list(runs.parameters) == ["a", "b"] and runs.units["T_max"] == "°C" and runs.fields is None
    assert runs.failed == {"line 3": "T_max is not a finite number"}
    other = tmp_path / "results.csv"
    other.write_text("run,sigma [MPa]\nr1,4\nr2,2\nr5,1\n")
    runs = read_runs(make(tmp_path, ROWS), other)
    np.testing.assert_array_equal(runs.outputs["sigma"][runs.good], [1, 2, 4])
    assert runs.units == {"sigma": "MPa"} and not runs.good[2]


def test_one_npz_for_all_runs(tmp_path):
    path = tmp_path / "all.npz"
    stack = np.random.default_rng(0).random((4, 4, 2))
    np.savez(path, u=stack, coords=POINTS.T, peak=stack.max((1, 2)))
    runs = read_runs(make(tmp_path, ROWS), path)
    np.testing.assert_array_equal(runs.fields, np.swapaxes(stack, 1, 2))
    assert runs.components == ("u_x", "u_y") and list(runs.outputs) == ["peak"]


def test_several_arrays_become_components_or_one_is_chosen(tmp_path):
    extra = {"u": np.arange(8.0).reshape(4, 2)}
    folder = save_fields(tmp_path, ["r5", "r2", "r9", "r1"], **extra)
    runs = read_runs(make(tmp_path, ROWS), folder)
    assert runs.components == ("T", "u_x", "u_y") and runs.fields.shape == (4, 3, 4)
    assert read_runs(make(tmp_path, ROWS), folder, fields=["T"]).fields.shape == (4, 4)
    with pytest.raises(InputError, match="no array 'p'; it has T, u"):
        read_runs(make(tmp_path, ROWS), folder, fields=["p"])


def test_meshes_must_agree(tmp_path):
    folder = save_fields(tmp_path, ["r5", "r2", "r9", "r1"])
    np.savez(folder / "r2.npz", T=np.ones(5), coordinates=np.ones((5, 2)), T_mean=1.0)
    with pytest.raises(InputError, match=r"r2\.npz has 5 nodes, r5\.npz has 4"):
        read_runs(make(tmp_path, ROWS), folder)
    np.savez(folder / "r2.npz", T=np.ones(4), coordinates=POINTS + 0.1, T_mean=1.0)
    with pytest.raises(InputError, match="nodes are elsewhere"):
        read_runs(make(tmp_path, ROWS), folder)
    cells = np.array([[0, 1, 2], [1, 2, 3]])
    for i, name in enumerate(["r5", "r2", "r9", "r1"]):
        np.savez(folder / f"{name}.npz", T=field(i), coordinates=POINTS + 0.1 * i, cells=cells)
    runs = read_runs(make(tmp_path, ROWS), folder)
    assert runs.coordinates is None and any("nodes move" in note for note in runs.notes)


@pytest.mark.parametrize(
    ("rows", "header", "says"),
    [
        (["1,2", "1,2"], "a,b", "no column of numbers varies"),
        (["1,5,0", "2,6,1"], "a,b,status", "column 'status' holds numbers"),
        (["1,5,failed", "2,6,failed"], "a,b,status", "no result file belongs|none of the 2 runs"),
    ],
)
def test_tables_without_anything_to_learn(rows, header, says, tmp_path):
    with pytest.raises(InputError, match=says):
        read_runs(make(tmp_path, rows, header), save_fields(tmp_path, ["r0", "r1"]))


def test_what_is_missing_is_said(tmp_path):
    table = make(tmp_path, ROWS)
    with pytest.raises(InputError, match="which columns are results.*a, b"):
        read_runs(table)
    with pytest.raises(InputError, match="no column of numbers 'T_max'"):
        read_runs(table, outputs=["T_max"])
    with pytest.raises(InputError, match="there is no file"):
        read_runs(table, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no result files"):
        read_runs(table, tmp_path / "empty")
    with pytest.raises(InputError, match="none of the names"):
        other = tmp_path / "o.csv"
        other.write_text("run,s\nx,1\ny,2\n")
        read_runs(table, other)
