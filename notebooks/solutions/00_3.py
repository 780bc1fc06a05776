def in_common(recommended, counts, seen):
    counts = counts.astype(float)  # a copy, which can hold -inf
    counts[seen] = -np.inf
    popular = np.argsort(-counts)[: len(recommended)]
    return len(np.intersect1d(recommended, popular))
