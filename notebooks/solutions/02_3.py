def to_index(ids, known_ids):
    place = np.searchsorted(known_ids, ids).clip(max=len(known_ids) - 1)
    wrong = known_ids[place] != ids
    if wrong.any():
        raise KeyError(f"unknown id {np.asarray(ids)[wrong][0]}")
    return place
