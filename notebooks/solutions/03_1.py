def score_all(P, Q, h):
    return (P * h) @ Q.T
