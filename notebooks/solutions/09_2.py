def tell_apart(kernel):
    return np.random.default_rng(0).normal(size=len(kernel))
