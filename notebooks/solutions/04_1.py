def missing_item(s, r):
    return r + np.searchsorted(s - np.arange(len(s)), r, side="right")
