"""Sampling, shuffling and ranking on an accelerator, so that an epoch never leaves it.

`torch_ncf.fit` uses these where it trains on a GPU; notebook 15 says when that pays. They follow
`sampler` and `metrics`, which hold the explanations and give the same results: the ranks number for
number, the negatives in distribution.
"""

from __future__ import annotations

import os

import numpy as np
import torch

from ncf_utils.data import HeldOut, Interactions
from ncf_utils.metrics import NaNScoresError
from ncf_utils.sampler import NegativeSampler


def choose_device(device=None) -> torch.device:
    """The device to train on.

    Args:
        device: a name such as ``"cpu"`` or ``"cuda:1"``; None takes what the environment variable
            ``NCF_DEVICE`` names, else a CUDA device if there is one, else the CPU. Empty is unset.

    Raises:
        ValueError: there is no such device here.
    """
    name = device or os.environ.get("NCF_DEVICE")
    if not name:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
        torch.empty(0, dtype=torch.float64, device=chosen)  # Apple's has no such numbers
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {name!r} cannot be used here: {reason}") from None
    return chosen


def is_accelerator(device: torch.device) -> bool:
    """Whether an epoch should stay on the device, because the way there and back is long."""
    return device.type != "cpu"


class DeviceSampler:
    """Uniform negatives drawn on a device; see `ncf_utils.sampler.NegativeSampler`.

    Every draw is exact, without rejection: of the items that a user has not touched, the r-th is
    r + #{j : s_j - j <= r}, where s_0 < s_1 < ... are the items that the user has touched.

    Args:
        train: the training interactions.
        num_negatives: negatives for each positive.
        seed: of the negatives and of the order.
        device: where the tensors live.

    Raises:
        ValueError: as `NegativeSampler` does.
    """

    def __init__(self, train: Interactions, num_negatives, seed, device):
        NegativeSampler(train, num_negatives)  # checks both
        pairs = np.sort(train.user.astype(np.int64) * train.num_items + train.item)
        place = np.arange(len(train)) - train.indptr[train.user]
        self.num_negatives, self.num_items = num_negatives, train.num_items
        self.user = torch.tensor(train.user, dtype=torch.int64, device=device)
        self.item = torch.tensor(train.item, dtype=torch.int64, device=device)
        self.first = torch.tensor(train.indptr[:-1], device=device)
        self.num_missing = torch.tensor(
            train.num_items - np.diff(train.indptr), dtype=torch.float64, device=device
        )
        self.missing_before = torch.tensor(pairs - place, device=device)
        self.generator = torch.Generator(device).manual_seed(seed)

    def sample(self, user):
        """Draw one negative for each entry of the int64 tensor `user`, in its shape."""
        chance = torch.rand(
            user.shape, dtype=torch.float64, generator=self.generator, device=user.device
        )
        rank = (chance * self.num_missing[user]).long()
        key = user * self.num_items + rank
        before = torch.searchsorted(self.missing_before, key, right=True)
        return rank + before - self.first[user]

    def epoch_groups(self):
        """One epoch's `user` (P, 1) and `item` (P, 1 + num_negatives), shuffled; int64."""
        order = torch.randperm(len(self.user), generator=self.generator, device=self.user.device)
        user = self.user[order, None]
        negative = self.sample(user.expand(-1, self.num_negatives).contiguous())
        return user, torch.cat([self.item[order, None], negative], dim=1)


class DeviceRanks:
    """The ranks of a split's held-out items, computed on a device; ties as in `evaluate`.

    Args:
        held_out: the data set's validation or test items, with their candidates.
        device: where the tensors live.
        batch_size: scores computed at once.
    """

    def __init__(self, held_out: HeldOut, device, batch_size=2**22):
        candidates = np.column_stack([held_out.item, held_out.negatives])  # (E, 1 + C)
        self.user = torch.tensor(held_out.user[:, None], dtype=torch.int64, device=device)
        self.item = torch.tensor(candidates, dtype=torch.int64, device=device)
        self.rivals = torch.tensor(held_out.rivals, device=device)  # (E, C)
        self.rows = max(1, batch_size // candidates.shape[1])

    def __call__(self, model) -> np.ndarray:
        """Integer array of shape (E,): how many rivals score at least as high.

        Raises:
            NaNScoresError: a score is NaN.
        """
        model.eval()
        ranks = []
        with torch.inference_mode():
            for user, item, rivals in zip(
                *(x.split(self.rows) for x in (self.user, self.item, self.rivals)), strict=True
            ):
                logits = model(user, item)  # (B, 1 + C)
                if logits.isnan().any():
                    raise NaNScoresError("the scores hold NaN")
                ranks.append(((logits[:, 1:] >= logits[:, :1]) & rivals).sum(dim=1))
        return torch.cat(ranks).cpu().numpy()
