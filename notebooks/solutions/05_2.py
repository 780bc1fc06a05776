def auc(ranks, num_candidates):
    return 1 - np.mean(ranks) / num_candidates
