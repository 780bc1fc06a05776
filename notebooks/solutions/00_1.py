def share_of_hits(places, k):
    return np.mean(np.asarray(places) <= k)
