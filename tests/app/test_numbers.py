import pytest

from app.numbers import figure, figure_text, mark, number
from storage.records import Verdict


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.44, "0.44"), (0.4437, "0.444"), (1.0, "1"), (12.345, "12.3"), (123456, "123,456"), (-0.05, "−0.05"),
     (0, "0"), (None, "–"), (float("nan"), "–"), (0.00012345, "0.000123"), (999.6, "1000")],
)  # fmt: skip
def test_numbers_have_three_significant_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_figure_says_its_interval_and_its_n() -> None:
    assert figure_text(0.44, 0.38, 0.49, 305) == "0.44  0.38–0.49  n 305"
    assert figure_text(None, None, None, 0) == "–  n 0"
    assert "opacity" in figure(0.44, 0.38, 0.49, 305)


def test_a_verdict_has_a_shape_beside_its_colour() -> None:
    assert len({mark(verdict, words=False).split(">")[1] for verdict in Verdict}) == 4
