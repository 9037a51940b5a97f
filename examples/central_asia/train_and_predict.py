"""Train a small crop classifier on Samarkand and Fergana 2016, and write predictions and labels of every year.

    python train_and_predict.py DATA WORK

DATA is the folder with samples.parquet and regions.geojson. WORK gets predictions and labels, a file a year,
and regions.geojson and driftmap.yaml beside them.
"""

import argparse
import shutil
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn

TRAINED_IN, TRAINED_ON = ("Samarkand", "Fergana"), 2016
COMMONEST = 9
FOLDS, EPOCHS, BATCH, RATE, HIDDEN, SEED = 5, 20, 128, 3e-3, 64, 0
CELL = 0.25  # degrees
HELD_OUT, DEPLOYED = "reference", "v1"


class CropNet(nn.Module):
    """Crop logits [n, classes] from NDVI [n, dates]. A missing NDVI is NaN.

    It is filled with the date's mean over the training fields; a second input for each date says that it was missing.
    """

    def __init__(self, ndvi: Tensor, classes: int) -> None:
        super().__init__()
        known = ndvi.isfinite()
        mean = ndvi.nanmean(dim=0)
        self.mean, self.spread = nn.Buffer(mean), nn.Buffer(((ndvi - mean) ** 2).nanmean(dim=0).sqrt())
        self.layers = nn.Sequential(
            nn.Linear(2 * known.shape[1], HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, classes),
        )

    def forward(self, ndvi: Tensor) -> Tensor:
        missing = ndvi.isnan()
        filled = torch.where(missing, 0.0, (ndvi - self.mean) / self.spread)
        logits: Tensor = self.layers(torch.cat([filled, missing.float()], dim=1))
        return logits


def train(ndvi: Tensor, crop: Tensor, classes: int) -> CropNet:
    """A classifier trained on NDVI [n, dates] and class numbers [n]."""
    torch.manual_seed(SEED)
    net = CropNet(ndvi, classes)
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(ndvi)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(ndvi[batch]), crop[batch]).backward()
            optimizer.step()
    return net.eval()


@torch.no_grad()
def probabilities(net: CropNet, ndvi: Tensor) -> np.ndarray:
    return net(ndvi).double().softmax(dim=1).numpy()


def predictions_of(fields: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """`fields` with their class in `label`, the predicted class, its confidence and every class's probability.

    Fields that the deployed net was trained on are predicted by nets that were trained without them, and without
    any field of their quarter-degree cell: neighbours are alike, and would make the reference look too good.
    """
    trained_on = (fields["region"].isin(TRAINED_IN) & (fields["year"] == TRAINED_ON)).to_numpy()
    classes = [*fields.loc[trained_on, "crop"].value_counts().index[:COMMONEST], "other"]
    label = fields["crop"].where(fields["crop"].isin(classes), "other")
    ndvi = torch.tensor(np.array(fields.filter(like="ndvi_"), dtype=np.float32))
    crop = torch.tensor(label.map(classes.index).to_numpy(copy=True))

    places = np.flatnonzero(trained_on)
    shares = probabilities(train(ndvi[places], crop[places], len(classes)), ndvi)
    cells = np.unique(np.floor(fields[["lon", "lat"]].to_numpy()[places] / CELL), axis=0, return_inverse=True)[1]
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    for seen, held_out in folds.split(places, crop[places].numpy(), cells):
        net = train(ndvi[places[seen]], crop[places[seen]], len(classes))
        shares[places[held_out]] = probabilities(net, ndvi[places[held_out]])

    return fields.assign(
        label=label,
        model_version=np.where(trained_on, HELD_OUT, DEPLOYED),
        predicted=np.array(classes)[shares.argmax(axis=1)],
        confidence=shares.max(axis=1),
        **{f"p_{name}": shares[:, place] for place, name in enumerate(classes)},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("work", type=Path, metavar="WORK")
    chosen = parser.parse_args()
    samples = chosen.data / "samples.parquet"
    if not samples.is_file():
        sys.exit(f"{samples}: no such file. Name the folder that it lies in.")

    torch.set_num_threads(1)  # so small a net gains nothing from a second, and one gives the same figures anywhere
    predicted = predictions_of(gpd.read_parquet(samples))
    for folder in ("predictions", "labels"):
        (chosen.work / folder).mkdir(parents=True, exist_ok=True)
    for year, fields in predicted.groupby("year"):
        unknown_then = ["country", "region", "year", "crop", "season", "label"]
        fields.drop(columns=unknown_then).to_parquet(chosen.work / "predictions" / f"{year}.parquet")
        fields[["sample_id", "label"]].to_csv(chosen.work / "labels" / f"{year}.csv", index=False)
    shutil.copyfile(chosen.data / "regions.geojson", chosen.work / "regions.geojson")
    shutil.copyfile(Path(__file__).with_name("driftmap.yaml"), chosen.work / "driftmap.yaml")

    held_out = predicted[predicted["model_version"] == HELD_OUT]
    share = float(pd.Series(held_out["predicted"] == held_out["label"]).mean())
    print(f"{len(predicted):,} fields in {chosen.work}. Accuracy on {len(held_out):,} held-out ones: {share:.3f}")


if __name__ == "__main__":
    main()
