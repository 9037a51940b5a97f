"""Predictions of a torch program, with confidence and uncertainty from repeated dropout passes."""

import os
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa

from storage.errors import DriftmapError, InvalidFileError, MissingDependencyError
from storage.models import Model

Forward = Callable[[Any], Any]

WHAT_TO_SAVE = "save it with torch.export.save, or with torch.jit.script(...).save (see docs/scoring.md)"


@dataclass(frozen=True, slots=True)
class Scores:
    """What the passes say, row by row: probabilities [n, classes]; entropy and mutual information [n], nats.

    `mutual_information` is None where the program answers the same on every pass.
    """

    probabilities: np.ndarray
    entropy: np.ndarray
    mutual_information: np.ndarray | None


def score_table(program: Path, table: pa.Table, model: Model, passes: int, batch_size: int, seed: int = 0) -> pa.Table:
    """`table` with the predicted class, confidence, class probabilities, entropy and mutual information.

    `program` is a torch.export file or a TorchScript file: float32 [n, numeric features], in the order of
    `model.features`, to [n, classes], in the order of `model.classes`: probabilities, or logits where the
    rows are none. Missing feature values go in as NaN; a row whose answer is not finite has NULL in every
    column that scoring adds, so ingest refuses that row and keeps the others.

    Where dropout is active, the prediction is the mean of `passes` passes; predictive entropy H[E p] and
    mutual information H[E p] − E[H p] are in nats (Gal and Ghahramani 2016, *Dropout as a Bayesian
    approximation*; Gal 2016, *Uncertainty in deep learning*, section 3.3.1). Two passes that agree mean
    that there is none: then one pass is made and mutual information is NULL.

    Raises InvalidFileError where program, table and model do not fit, MissingDependencyError without torch.
    """
    torch = import_torch()
    forward = load_program(program, passes)
    values = feature_values(table, model)
    with one_thread(), torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(seed)
        scores = score(forward, torch.from_numpy(values), len(model.classes), passes, batch_size, program)
    return with_scores(table, model, scores)


def import_torch() -> ModuleType:
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError(
            "Scoring with a torch program needs torch, which is not installed: pip install 'driftmap[torch]'"
        ) from error
    return torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Keeps torch to one thread: on a busy machine the threads of small networks wait for each other."""
    torch = import_torch()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def load_program(path: Path, passes: int) -> Forward:
    """The program in `path`, ready to call; with `passes` above 1, dropout of a TorchScript module is on.

    The format is told from the content, not from the name. Nothing is unpickled into Python objects.
    """
    torch = import_torch()
    members = archive_members(path)
    try:
        if any(name.endswith("/models/model.json") for name in members):
            return load_exported(path, members)
        if any("/code/" in name for name in members):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                module = torch.jit.load(str(path), map_location="cpu").eval()
            if passes > 1:
                activate_dropout(module)
            return module
    except DriftmapError:
        raise
    except Exception as error:
        raise InvalidFileError(f"{path}: torch cannot load it ({reason(error)}); {WHAT_TO_SAVE}.") from error
    raise InvalidFileError(
        f"{path}: a pickle or a state dict, which is never loaded (it could run any code); {WHAT_TO_SAVE}."
    )


def archive_members(path: Path) -> list[str]:
    """The names in the zip archive that both formats are. A file that is none is refused unread."""
    if not path.exists():
        raise InvalidFileError(f"{path}: no such file; the key scoring.program names a torch program.")
    if not zipfile.is_zipfile(path):
        raise InvalidFileError(f"{path}: neither a torch.export nor a TorchScript file; {WHAT_TO_SAVE}.")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def load_exported(path: Path, members: list[str]) -> Forward:
    """The graph of a torch.export file."""
    torch = import_torch()
    # These are unpickled by torch.export.load with no limits.
    if any("custom_obj" in name or "opaque_obj" in name for name in members):
        raise InvalidFileError(f"{path}: holds pickled Python objects, which are never loaded; export it without.")
    with weights_only():
        exported = torch.export.load(str(path))
    for node in exported.graph.nodes:
        training = {"batch_norm": 5, "_native_batch_norm_legit": 5, "native_batch_norm": 5}
        name = str(node.target).split(".")[1] if str(node.target).startswith("aten.") else ""
        position = training.get(name)
        if position is not None and len(node.args) > position and node.args[position] is True:
            raise InvalidFileError(
                f"{path}: batch normalisation was exported in training mode, so a row's answer depends on its "
                "batch; put the model in eval mode and only its dropout in train mode, and export it again."
            )
    return exported.module()


@contextmanager
def weights_only() -> Iterator[None]:
    """Keeps torch.load to tensors: torch.export.load falls back to full unpickling of the sample inputs."""
    before = os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"]
        else:
            os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = before


def activate_dropout(module: Any) -> None:
    """Puts the dropout children of a TorchScript module in train mode, and nothing else."""
    for _, child in module.named_modules():
        if "Dropout" in getattr(child, "original_name", ""):
            child.train()


def feature_values(table: pa.Table, model: Model) -> np.ndarray:
    """The numeric features as float32 [n, features], in the model's order; missing values are NaN."""
    categorical = [name for name, kind in model.features.items() if kind == "categorical"]
    if categorical:
        raise InvalidFileError(
            f"Model {model.name}: scoring feeds numeric features only, and {', '.join(categorical)} "
            "is categorical; encode it as numbers, or send predictions made elsewhere."
        )
    if not model.features:
        raise InvalidFileError(f"Model {model.name}: scoring needs features; name them under 'features:'.")
    missing = [name for name in model.features if name not in table.column_names]
    if missing:
        raise InvalidFileError(f"Model {model.name}: the feature table lacks the column {', '.join(missing)}.")
    values = np.empty((table.num_rows, len(model.features)), dtype=np.float32)
    for position, name in enumerate(model.features):
        column = table.column(name)
        try:
            values[:, position] = column.cast(pa.float64()).to_numpy()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise InvalidFileError(
                f"Model {model.name}: the column {name} of the feature table is no number ({reason(error)})."
            ) from error
    return values


def score(forward: Forward, values: Any, classes: int, passes: int, batch_size: int, program: Path) -> Scores:
    """Scores of `values`, a float32 tensor [n, features], batch by batch."""
    torch = import_torch()
    count = len(values)
    probabilities = torch.full((count, classes), torch.nan)
    entropy = torch.full((count,), torch.nan)
    expected_entropy = torch.full((count,), torch.nan)
    kind: bool | None = None
    stochastic: bool | None = None
    for start in range(0, count, batch_size):
        batch = values[start : start + batch_size]
        rows = slice(start, start + len(batch))
        first = call(forward, batch, classes, program)
        if kind is None and torch.isfinite(first).all(dim=1).any():
            kind = are_probabilities(first)
        if stochastic is None:
            again = call(forward, batch, classes, program) if passes > 1 else first
            stochastic = not torch.equal(first.nan_to_num(), again.nan_to_num())
        outputs = [first]
        if stochastic:
            outputs += [call(forward, batch, classes, program) for _ in range(passes - 1)]
        each = torch.stack([as_probabilities(output, bool(kind)) for output in outputs])
        probabilities[rows], entropy[rows], expected_entropy[rows] = summarise(each)
    return Scores(
        probabilities.numpy(),
        entropy.numpy(),
        (entropy - expected_entropy).clamp(min=0).numpy() if stochastic else None,
    )


def summarise(passes: Any) -> tuple[Any, Any, Any]:
    """Mean probabilities [n, classes], predictive entropy H[E p] and expected entropy E[H p] [n], in nats.

    `passes` are class probabilities, a tensor [passes, n, classes].
    """
    torch = import_torch()
    mean = passes.mean(dim=0)
    return mean, torch.special.entr(mean).sum(dim=1), torch.special.entr(passes).sum(dim=2).mean(dim=0)


def call(forward: Forward, batch: Any, classes: int, program: Path) -> Any:
    """One pass: a float32 tensor [n, classes], or InvalidFileError where the program does not fit."""
    torch = import_torch()
    try:
        output = forward(batch)
    except Exception as error:
        raise InvalidFileError(
            f"{program}: cannot score {len(batch)} rows of {batch.shape[1]} features ({reason(error)}); "
            "check the model's features, and export the program with a free number of rows."
        ) from error
    if not isinstance(output, torch.Tensor) or output.shape != (len(batch), classes):
        found = f"a table {list(output.shape)}" if isinstance(output, torch.Tensor) else type(output).__name__
        raise InvalidFileError(
            f"{program}: answered {found} where {[len(batch), classes]} was expected, one column a class; "
            "check 'classes:' of the model."
        )
    return output.float()


def are_probabilities(output: Any) -> bool:
    """Whether every finite row lies in [0, 1] and sums to 1 within 0.001."""
    torch = import_torch()
    finite = output[torch.isfinite(output).all(dim=1)]
    within = (finite >= 0).all() and (finite <= 1).all()
    return bool(within and ((finite.sum(dim=1) - 1).abs() <= 1e-3).all())


def as_probabilities(output: Any, probabilities: bool) -> Any:
    return output if probabilities else output.softmax(dim=1)


def with_scores(table: pa.Table, model: Model, scores: Scores) -> pa.Table:
    """`table` with the columns of `scores`, named as the model's `columns` say."""
    columns = model.columns
    finite = np.isfinite(scores.probabilities).all(axis=1)
    best = np.where(finite[:, None], scores.probabilities, 0).argmax(axis=1)
    predicted = pa.DictionaryArray.from_arrays(pa.array(best, pa.int32(), mask=~finite), pa.array(model.classes)).cast(
        pa.string()
    )
    found: dict[str, pa.Array] = {columns.predicted: predicted}

    def add(name: str, values: np.ndarray) -> None:
        found[name] = pa.array(values, pa.float32(), mask=~finite)

    # A mean of float32 probabilities can end a hair above 1, which ingest would refuse.
    add(columns.confidence, scores.probabilities.max(axis=1, initial=0).clip(0, 1))
    for position, name in enumerate(model.classes):
        add(columns.probability(name), scores.probabilities[:, position].clip(0, 1))
    add(columns.entropy, scores.entropy)
    if scores.mutual_information is None:
        found[columns.mutual_information] = pa.nulls(table.num_rows, pa.float32())
    else:
        add(columns.mutual_information, scores.mutual_information)
    taken = [name for name in table.column_names if name in found]
    table = table.drop_columns(taken)
    for name, array in found.items():
        table = table.append_column(name, array)
    return table


def reason(error: Exception) -> str:
    """The last line of an error's message that says something; torch puts it there, below its traces."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
