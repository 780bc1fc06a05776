def testable_users(user, rating, least):
    liked = np.asarray(user)[np.asarray(rating) >= least]
    _, counts = np.unique(liked, return_counts=True)
    return (counts >= 2).sum()
