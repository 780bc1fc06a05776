def ndcg_by_k(ranks, longest):
    K = np.arange(1, longest + 1)
    counts = (np.asarray(ranks)[:, None] == K - 1).mean(axis=0)  # share of hits at each place
    return np.cumsum(counts / np.log2(K + 1))
