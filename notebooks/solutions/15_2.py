def level_from(batches, seconds):
    cost = np.asarray(seconds) / np.asarray(batches)  # of one instance
    gained_little = np.flatnonzero(cost[1:] >= 0.9 * cost[:-1])
    return batches[gained_little[0]] if len(gained_little) else batches[-1]
