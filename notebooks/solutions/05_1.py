def mrr(ranks):
    return (1 / (np.asarray(ranks) + 1)).mean()
