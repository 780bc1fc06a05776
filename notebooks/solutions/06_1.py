def weighted_scores(p, q, h):
    return (p * q) @ h
