def recommend(scores, seen, k):
    scores = scores.copy()  # the caller keeps hers
    scores[seen] = -np.inf
    return np.argsort(-scores)[:k]
