def candidates_needed(places, share):
    ordered = np.sort(places, axis=None)
    last = int(np.ceil(share * len(ordered))) - 1  # the film that completes the share
    return ordered[last] + 1
