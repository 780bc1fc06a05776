def gain_and_error(first, second):
    variances = [np.var(hr, ddof=1) / len(hr) for hr in (first, second)]
    return np.mean(first) - np.mean(second), np.sqrt(sum(variances))
