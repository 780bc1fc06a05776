def step_bytes(films, bounds, width):
    borrowed = 0
    for rank, needed in enumerate(films):
        needed = np.unique(needed)
        borrowed += ((needed < bounds[rank]) | (needed >= bounds[rank + 1])).sum()
    return borrowed * (4 + 8 * width)
