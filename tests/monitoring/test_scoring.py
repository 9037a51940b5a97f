"""Scores of torch programs: both formats, with and without dropout, and files that do not fit."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from monitoring.scoring import score_table, summarise
from storage.errors import InvalidFileError, MissingDependencyError
from storage.models import Columns, Model

torch = pytest.importorskip("torch")
nn = torch.nn

MODEL = Model(name="crops", classes=("wheat", "maize", "fallow"), features={"red": "numeric", "nir": "numeric"})
ADDED = ["predicted", "confidence", "p_wheat", "p_maize", "p_fallow", "entropy", "mutual_information"]


def table(rows: int = 50) -> pa.Table:
    values = np.random.default_rng(1).normal(size=(2, rows))
    return pa.table({"id": [f"a{k}" for k in range(rows)], "nir": values[0], "red": values[1]})


def network(dropout: bool = True, normalised: bool = False) -> Any:
    torch.manual_seed(1)
    layers = [nn.Linear(2, 16), nn.BatchNorm1d(16) if normalised else nn.Identity(), nn.ReLU()]
    layers += [nn.Dropout(0.4)] if dropout else []
    return nn.Sequential(*layers, nn.Linear(16, 3)).eval()


def scripted(module: Any, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(module).save(str(path))
    return path


def exported(module: Any, path: Path, rows: int | None = None) -> Path:
    free = {} if rows else {"dynamic_shapes": ({0: torch.export.Dim.AUTO},)}
    torch.export.save(torch.export.export(module, (torch.zeros(rows or 4, 2),), **free), str(path))
    return path


def with_active_dropout(module: Any) -> Any:
    for child in module.modules():
        if isinstance(child, nn.Dropout):
            child.train()
    return module


def expected(module: Any, rows: pa.Table) -> np.ndarray:
    with torch.no_grad():
        values = torch.tensor(np.column_stack([rows["red"], rows["nir"]]), dtype=torch.float32)
        return module.eval()(values).softmax(dim=1).numpy()


def probabilities(scored: pa.Table) -> np.ndarray:
    return np.column_stack([scored[f"p_{name}"].to_numpy() for name in MODEL.classes])


def test_uncertainty_matches_numbers_worked_by_hand() -> None:
    passes = torch.tensor([[[1.0, 0.0], [0.9, 0.1]], [[0.0, 1.0], [0.5, 0.5]]])
    mean, predictive, expectation = summarise(passes)
    assert mean.tolist() == [[0.5, 0.5], [pytest.approx(0.7), pytest.approx(0.3)]]
    # The first row's passes are each certain and disagree: all of ln 2 is mutual information.
    assert predictive[0].item() == pytest.approx(math.log(2))
    assert expectation[0].item() == 0
    # −0.7 ln 0.7 − 0.3 ln 0.3, and the mean of H(0.9, 0.1) = 0.3250830 and H(0.5, 0.5) = 0.6931472.
    assert predictive[1].item() == pytest.approx(0.6108643, abs=1e-6)
    assert expectation[1].item() == pytest.approx((0.3250830 + 0.6931472) / 2, abs=1e-6)


@pytest.mark.parametrize("save", [scripted, exported])
def test_without_dropout_one_pass_gives_the_softmax_and_no_mutual_information(
    save: Callable[..., Path], tmp_path: Path
) -> None:
    module = network(dropout=False)
    rows = table()
    scored = score_table(save(module, tmp_path / "m"), rows, MODEL, passes=20, batch_size=16)
    assert scored.column_names == ["id", "nir", "red", *ADDED]
    wanted = expected(module, rows)
    np.testing.assert_allclose(probabilities(scored), wanted, atol=1e-6)
    assert scored["predicted"].to_pylist() == [MODEL.classes[k] for k in wanted.argmax(axis=1)]
    np.testing.assert_allclose(scored["confidence"], wanted.max(axis=1), atol=1e-6)
    np.testing.assert_allclose(scored["entropy"], -(wanted * np.log(wanted)).sum(axis=1), atol=1e-5)
    assert scored["mutual_information"].null_count == len(rows)


@pytest.mark.parametrize("save", [scripted, exported])
def test_dropout_gives_mutual_information_between_zero_and_entropy(save: Callable[..., Path], tmp_path: Path) -> None:
    module = network()
    if save is exported:
        with_active_dropout(module)
    program = save(module, tmp_path / "m")
    first, again = (score_table(program, table(), MODEL, 200, 16, seed=7) for _ in range(2))
    assert first.equals(again)
    assert not first.equals(score_table(program, table(), MODEL, 200, 16, seed=8))
    information, entropy = first["mutual_information"].to_numpy(), first["entropy"].to_numpy()
    assert (information > 0).all()
    assert (information < entropy).all()
    np.testing.assert_allclose(probabilities(first).sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(probabilities(first), expected(module, table()), atol=0.15)


@pytest.mark.parametrize("save", [scripted, exported])
def test_batch_normalisation_stays_in_eval_mode(save: Callable[..., Path], tmp_path: Path) -> None:
    module = network(normalised=True)
    if save is exported:
        with_active_dropout(module)
    program = save(module, tmp_path / "m")
    shifted = table().set_column(2, "red", pa.array(np.asarray(table()["red"]) + 5))
    found = probabilities(score_table(program, shifted, MODEL, 400, 50))
    np.testing.assert_allclose(found, expected(module, shifted), atol=0.12)


def test_batch_normalisation_exported_in_training_mode_is_refused(tmp_path: Path) -> None:
    program = exported(network(normalised=True).train(), tmp_path / "m.pt2")
    with pytest.raises(InvalidFileError, match="batch normalisation"):
        score_table(program, table(), MODEL, 20, 16)


def test_an_export_in_eval_mode_gives_a_single_pass(tmp_path: Path) -> None:
    scored = score_table(exported(network(), tmp_path / "m.pt2"), table(), MODEL, 20, 16)
    assert scored["mutual_information"].null_count == 50


def test_one_pass_of_torchscript_leaves_dropout_off(tmp_path: Path) -> None:
    scored = score_table(scripted(network(), tmp_path / "m.pt"), table(), MODEL, 1, 16)
    np.testing.assert_allclose(probabilities(scored), expected(network(), table()), atol=1e-6)


def test_probabilities_are_kept_as_they_are(tmp_path: Path) -> None:
    module = nn.Sequential(network(dropout=False), nn.Softmax(dim=1)).eval()
    scored = score_table(exported(module, tmp_path / "m.pt2"), table(), MODEL, 20, 16)
    np.testing.assert_allclose(probabilities(scored), expected(network(dropout=False), table()), atol=1e-6)


def test_a_row_without_a_finite_answer_has_no_prediction_and_the_others_have(tmp_path: Path) -> None:
    rows = table().set_column(2, "red", pa.array([None, math.inf] + [0.5] * 48, pa.float64()))
    scored = score_table(scripted(network(), tmp_path / "m.pt"), rows, MODEL, 20, 16)
    for name in ADDED:
        assert scored[name].is_null().to_pylist() == [True] * 2 + [False] * 48, name


def test_columns_take_the_names_of_the_model(tmp_path: Path) -> None:
    model = MODEL.model_copy(update={"columns": Columns(predicted="crop", probabilities="{class}_prob")})
    scored = score_table(scripted(network(), tmp_path / "m.pt"), table(), model, 2, 16)
    assert {"crop", "wheat_prob", "maize_prob", "fallow_prob"} < set(scored.column_names)


def test_an_empty_table_scores_to_an_empty_table(tmp_path: Path) -> None:
    scored = score_table(scripted(network(), tmp_path / "m.pt"), table(0), MODEL, 20, 16)
    assert scored.num_rows == 0
    assert scored.column_names == ["id", "nir", "red", *ADDED]


def test_a_last_batch_of_one_row_is_scored(tmp_path: Path) -> None:
    program = exported(with_active_dropout(network()), tmp_path / "m.pt2")
    assert score_table(program, table(17), MODEL, 20, 16)["predicted"].null_count == 0


def refusal(program: Path, rows: pa.Table | None = None, model: Model = MODEL) -> str:
    with pytest.raises(InvalidFileError) as caught:
        score_table(program, table() if rows is None else rows, model, 20, 16)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    program = scripted(network(), tmp_path / "m.pt")
    two = MODEL.model_copy(update={"classes": ("wheat", "maize")})
    assert "[16, 3] where [16, 2]" in refusal(program, model=two)
    assert "lacks the column red" in refusal(program, table().drop_columns(["red"]))
    wide = MODEL.model_copy(update={"features": {"red": "numeric", "nir": "numeric", "vv": "numeric"}})
    assert "3 features" in refusal(program, table().append_column("vv", table()["red"]), wide)
    sensor = MODEL.model_copy(update={"features": {"red": "numeric", "sensor": "categorical"}})
    assert "sensor is categorical" in refusal(program, model=sensor)
    text = table().set_column(2, "red", pa.array(["high"] * 50))
    assert "the column red" in refusal(program, text)
    assert "free number of rows" in refusal(exported(network(), tmp_path / "fixed.pt2", rows=5))


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    touched = tmp_path / "touched"

    class Touches:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (touched,))

    torch.save(Touches(), tmp_path / "model.pth")
    torch.save(network().state_dict(), tmp_path / "state.pt")
    (tmp_path / "notes.pt").write_text("not a program")
    assert "a pickle or a state dict" in refusal(tmp_path / "model.pth")
    assert "a pickle or a state dict" in refusal(tmp_path / "state.pt")
    assert "neither" in refusal(tmp_path / "notes.pt")
    assert "no such file" in refusal(tmp_path / "absent.pt2")
    assert not touched.exists()


def test_a_pickle_hidden_in_an_export_is_not_run(tmp_path: Path) -> None:
    import io
    import zipfile

    touched = tmp_path / "touched"

    class Touches:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (touched,))

    hidden = io.BytesIO()
    torch.save(Touches(), hidden)
    source, target = exported(network(), tmp_path / "good.pt2"), tmp_path / "bad.pt2"
    with zipfile.ZipFile(source) as good, zipfile.ZipFile(target, "w") as bad:
        for name in good.namelist():
            body = hidden.getvalue() if "sample_inputs" in name else good.read(name)
            bad.writestr(name.replace("good/", "bad/", 1), body)
    refusal(target)
    assert not touched.exists()


def test_without_torch_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'driftmap\[torch\]'"):
        score_table(tmp_path / "m.pt", table(), MODEL, 20, 16)
