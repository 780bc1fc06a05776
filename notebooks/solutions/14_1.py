def top_k_of(scores, seen, allowed, k):
    masked = np.where(seen | ~allowed, -np.inf, scores)
    top = np.argsort(-masked, kind="stable")[:k]
    return top[np.isfinite(masked[top])]  # fewer than k, where no more are left
