"""What figures are given for: the whole, and every region of a set with all that lies in it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from storage.regions import Region, RegionSet


@dataclass(frozen=True)
class Units:
    """The whole (place 0 in every array) and then the regions of `regions`, in the order of their keys."""

    regions: RegionSet

    def __len__(self) -> int:
        return 1 + len(self.regions.regions)

    @property
    def places(self) -> tuple[Region | None, ...]:
        """What each place stands for; None for the whole."""
        return (None, *self.regions.regions)

    @cached_property
    def levels(self) -> NDArray[np.int64]:
        """The level of each unit; 0 for the whole."""
        return np.array([0, *(region.level for region in self.regions.regions)])

    @cached_property
    def _membership(self) -> NDArray[np.float64]:
        """[units, keys]: 1 where rows of the region `key` (0: no region) count for the unit."""
        width = 1 + max((region.key for region in self.regions.regions), default=0)
        member = np.zeros((len(self), width))
        member[0] = 1.0
        for place, region in enumerate(self.regions.regions, start=1):
            member[place, self.regions.descendants(region.id)] = 1.0
        return member

    @property
    def keys(self) -> int:
        """How many region keys there are, 0 (no region) included."""
        return int(self._membership.shape[1])

    def roll_up(self, by_key: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums for each unit of sums by the key of the deepest region. [keys, ...] → [units, ...]."""
        flat = self._membership @ by_key.reshape(len(by_key), -1)
        return flat.reshape(len(self), *by_key.shape[1:])
