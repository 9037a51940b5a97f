"""The crop classifier of the demo: a small network with dropout, trained on the spot."""

from pathlib import Path

import numpy as np

from monitoring.scoring import import_torch, one_thread

EPOCHS, BATCH, HIDDEN, DROPOUT = 6, 512, 48, 0.08


def train_classifier(path: Path, values: np.ndarray, labels: np.ndarray, classes: int, seed: int) -> None:
    """Trains on `values` [n, features] and `labels` [n], calibrates, and exports to `path` (torch.export).

    Normalisation is part of the program, dropout stays active in it. The temperature (Guo et al. 2017) is
    fitted to the mean of dropout passes, on a fifth of the rows, which training has not seen.
    """
    torch = import_torch()
    from torch import nn

    class Classifier(nn.Module):
        def __init__(self, mean: np.ndarray, spread: np.ndarray) -> None:
            super().__init__()
            self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
            self.register_buffer("spread", torch.tensor(spread, dtype=torch.float32))
            self.register_buffer("temperature", torch.ones(()))
            self.layers = nn.Sequential(
                nn.Linear(len(mean), HIDDEN),
                nn.ReLU(),
                nn.Dropout(DROPOUT),
                nn.Linear(HIDDEN, HIDDEN),
                nn.ReLU(),
                nn.Dropout(DROPOUT),
                nn.Linear(HIDDEN, classes),
            )

        def forward(self, features):  # type: ignore[no-untyped-def]
            return self.layers((features - self.mean) / self.spread) / self.temperature

    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Classifier(values.mean(axis=0), values.std(axis=0))
        features = torch.tensor(values, dtype=torch.float32)
        targets = torch.tensor(labels, dtype=torch.int64)
        held = len(features) // 5
        learned = len(features) - held
        steps = EPOCHS * -(-learned // BATCH)
        optimiser = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
        for _ in range(EPOCHS):
            for rows in torch.randperm(learned).split(BATCH):
                loss = nn.functional.cross_entropy(network(features[rows]), targets[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
        with torch.no_grad():
            passes = torch.stack([network(features[learned:]) for _ in range(20)])
            candidates = torch.linspace(0.6, 1.6, 51)
            losses = [
                nn.functional.nll_loss((passes / t).softmax(dim=2).mean(dim=0).log(), targets[learned:])
                for t in candidates
            ]
            network.get_buffer("temperature").fill_(float(candidates[int(torch.stack(losses).argmin())]))
        network.train()  # dropout stays in the exported program; there is no batch normalisation
        example = (features[:4],)
        exported = torch.export.export(network, example, dynamic_shapes=({0: torch.export.Dim.AUTO},))
        torch.export.save(exported, str(path))
