"""The figures of a selection, beside those of the rest."""

from app.numbers import MISSING, count, interval, light, number, strong
from monitoring.accuracy import overall
from monitoring.calibration import confidence_gap, expected_calibration_error
from monitoring.tally import Tally


def selection_figures(selected: Tally, rest: Tally) -> str:
    """Accuracy, confidence gap and ECE of the selection and of what it leaves out, as an HTML table."""
    rows = "".join(
        f'<tr data-figure="{key}"><th title="{title}">{name}</th><td>{write(selected)}</td><td>{write(rest)}</td></tr>'
        for key, name, title, write in (
            ("accuracy", "Accuracy", "Share of labelled predictions that are right, 95% Wilson interval", accuracy),
            ("gap", "Overconfidence", "Mean confidence minus accuracy, 95% interval", gap),
            ("ece", "ECE", "Expected calibration error over 20 bins; it has no interval", ece),
        )
    )
    return (
        '<table class="dm-figures"><thead><tr><th></th><th>Selection</th><th>Rest</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def accuracy(part: Tally) -> str:
    found = overall(part.confusion)
    return _figure(float(found.value), float(found.lower), float(found.upper), part)


def gap(part: Tally) -> str:
    found = confidence_gap(
        part.labelled.sum(), part.correct.sum(), part.sum_labelled.sum(), part.sum_labelled2,
        part.sum_correct,
    )  # fmt: skip
    return _figure(float(found.value), float(found.lower), float(found.upper), part)


def ece(part: Tally) -> str:
    found = expected_calibration_error(part.labelled, part.correct, part.sum_labelled)
    return f"{strong(number(float(found)))}<br>{_n(part)}" if part.n_labelled else MISSING


def _figure(value: float, lower: float, upper: float, part: Tally) -> str:
    if part.n_labelled == 0:
        return light("no labels yet") if part.n else MISSING
    # n stands below, so that two columns fit beside a map on a small screen.
    return f"{strong(number(value))} {light(interval(lower, upper))}<br>{_n(part)}"


def _n(part: Tally) -> str:
    return light(f"n {count(int(part.n_labelled))}")
