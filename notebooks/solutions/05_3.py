def ndcg_of(relevant, k):
    relevant = np.asarray(relevant)
    ideal = np.sort(relevant)[::-1]
    worth = 1 / np.log2(np.arange(len(relevant[:k])) + 2)
    return (relevant[:k] * worth).sum() / (ideal[:k] * worth).sum()
