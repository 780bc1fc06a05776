def longest_first(lengths, workers):
    free = np.zeros(workers)
    for length in sorted(lengths, reverse=True):
        free[free.argmin()] += length
    return free.max()
