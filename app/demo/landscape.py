"""Where the fields of the invented country lie, what they look like from space, and what grows there."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from app.demo.territory import Territory

CLASSES = ("wheat", "maize", "sunflower", "alfalfa", "fallow")

# Feature: mean and spread over the country, in its own unit (indices and reflectance 0–1, backscatter in dB,
# slope in degrees), then what each class looks like, in spreads.
SIGNATURES: dict[str, tuple[float, float, tuple[float, float, float, float, float]]] = {
    "ndvi_early": (0.34, 0.08, (1.5, -0.9, -0.8, 0.9, -0.7)),
    "ndvi_peak": (0.58, 0.10, (0.4, 1.1, 0.5, 0.6, -2.0)),
    "ndvi_late": (0.41, 0.09, (-1.3, 0.9, -0.3, 1.3, -0.8)),
    "evi_peak": (0.45, 0.09, (0.1, 1.3, 0.7, 0.2, -1.8)),
    "ndwi_peak": (0.08, 0.07, (-0.5, 0.9, -0.2, 0.9, -1.0)),
    "red": (0.11, 0.03, (0.2, -0.8, 0.3, -0.8, 1.4)),
    "nir": (0.31, 0.05, (-0.2, 1.0, 0.6, 0.5, -1.5)),
    "swir1": (0.25, 0.05, (0.6, -0.8, 0.4, -1.0, 1.1)),
    "swir2": (0.18, 0.04, (0.5, -0.7, 0.8, -1.0, 0.8)),
    "vv": (-11.2, 1.4, (-0.6, 0.8, 1.1, -0.3, -0.9)),
    "vh": (-17.6, 1.6, (-0.9, 0.8, 1.4, -0.1, -1.2)),
    "slope": (3.1, 1.2, (-0.2, -0.4, 0.0, 0.2, 0.5)),
}
FEATURES = tuple(SIGNATURES)
MEAN = np.array([SIGNATURES[name][0] for name in FEATURES])
SPREAD = np.array([SIGNATURES[name][1] for name in FEATURES])
LOOKS = np.array([SIGNATURES[name][2] for name in FEATURES]).T  # [classes, features]

NOISE = 0.62  # of a single field around the looks of its place, in spreads
CERTAINTY = 1.0  # how sharply features tell the class; sets the best accuracy that is possible
FIELD_KM = 1.1


@dataclass(frozen=True, slots=True)
class Fields:
    """Fields of farmers: plain position (km), district index, farm, standardised features, label code."""

    points: np.ndarray
    district: np.ndarray
    farm: np.ndarray
    looks: np.ndarray
    label: np.ndarray


class Landscape:
    """Smooth random surfaces over the territory: what grows where, and where the rivers run."""

    def __init__(self, rng: np.random.Generator, territory: Territory) -> None:
        self.territory = territory
        left, bottom, right, top = territory.outline.bounds
        self.corner = np.array([left, bottom]) - 10
        self.size = np.array([right - left, top - bottom]) + 20
        self.river, self.stream = surface(rng, 2.0, 3.6), surface(rng, 5.0, 3.8)
        self.kinds = [surface(rng, 2.5, 3.2) for _ in CLASSES]

    def at(self, grid: np.ndarray, points: np.ndarray) -> np.ndarray:
        place = (points - self.corner) / self.size.max() * (len(grid) - 1)
        return map_coordinates(grid, [place[:, 1], place[:, 0]], order=1, mode="nearest")

    def valley(self, points: np.ndarray) -> np.ndarray:
        """Closeness to a river, from 0 to 1."""
        river = np.exp(-((self.at(self.river, points) / 0.11) ** 2))
        stream = np.exp(-((self.at(self.stream, points) / 0.09) ** 2))
        return np.maximum(river, 0.6 * stream)

    def fields(self, rng: np.random.Generator, count: int) -> Fields:
        """`count` fields, in farms along the rivers and thinly elsewhere. Every district has its share."""
        farms = 3 * count // 22
        left, bottom, right, top = self.territory.outline.bounds
        at = rng.uniform((left, bottom), (right, top), (farms * 12, 2))
        at = at[rng.random(len(at)) < 0.06 + 0.94 * self.valley(at)]
        at = at[self.territory.inside(at)][:farms]
        chosen = rng.integers(0, len(at), 3 * count)
        points = at[chosen] + rng.normal(0, FIELD_KM, (3 * count, 2))
        kept = self.territory.inside(points)
        points, farm = points[kept], chosen[kept]
        district = self.territory.district_of(points)
        share = np.bincount(district, minlength=len(self.territory.districts)) / len(points)
        weight = np.maximum(share, 0.002) ** -0.6
        picked = np.sort(rng.choice(len(points), count, replace=False, p=weight[district] / weight[district].sum()))
        points, farm, district = points[picked], farm[picked], district[picked]
        mix = softmax(2.6 * self.suitability(points))
        looks = mix @ LOOKS * 1.3 + rng.normal(0, NOISE, (count, len(FEATURES)))
        chance = softmax(CERTAINTY * (looks @ LOOKS.T - (LOOKS**2).sum(axis=1) / 2))
        label = (rng.random((count, 1)) > chance.cumsum(axis=1)[:, :-1]).sum(axis=1)
        return Fields(points, district, farm, looks, label)

    def suitability(self, points: np.ndarray) -> np.ndarray:
        """How well each class suits a place [n, classes]: maize and alfalfa by the rivers, fallow far off."""
        valley = self.valley(points)[:, None]
        along = np.array([0.0, 0.6, -0.2, 0.5, -0.9])
        return np.column_stack([self.at(kind, points) for kind in self.kinds]) + (valley - 0.5) * along


def surface(rng: np.random.Generator, lowest: float, slope: float, size: int = 512) -> np.ndarray:
    """A smooth random surface [size, size], mean 0 and sd 1: power falls with frequency to the `slope`."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]) * size
    power = np.where(frequency >= lowest, np.maximum(frequency, 1.0) ** (-slope / 2), 0.0)
    grid = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(size, size))) * power, s=(size, size))
    return (grid - grid.mean()) / grid.std()


def softmax(values: np.ndarray) -> np.ndarray:
    raised = np.exp(values - values.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)
