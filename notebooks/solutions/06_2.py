def newcomer_scores(P, Q, h):
    return Q @ (P.mean(axis=0) * h)
