def attend(film, past, mask):
    scores = (past * film[:, None]).sum(-1)  # (B, T)
    weights = np.exp(scores) * mask
    weights = weights / weights.sum(axis=1, keepdims=True)
    return (weights[..., None] * past).sum(1)
