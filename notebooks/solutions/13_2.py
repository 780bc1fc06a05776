def leaking(past, mask, positive):
    return ((past == positive[:, None]) & mask).any(axis=1).sum()
