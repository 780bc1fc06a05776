def dcg_and_ndcg(relevant, k):
    relevant = np.asarray(relevant)
    ideal = np.sort(relevant)[::-1]
    worth = 1 / np.log2(np.arange(len(relevant[:k])) + 2)
    dcg = (relevant[:k] * worth).sum()
    return dcg, dcg / (ideal[:k] * worth).sum()
