def draw_negatives(users, seen, num_items, rng):
    items = rng.integers(num_items, size=len(users))
    pending = np.arange(len(users))
    while len(pending):
        pending = np.array([at for at in pending if items[at] in seen[users[at]]], dtype=int)
        items[pending] = rng.integers(num_items, size=len(pending))
    return items
