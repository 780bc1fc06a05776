def mean_leak(validation, test):
    picked = test[np.arange(len(test)), validation.argmax(axis=1)]
    return np.mean(test.max(axis=1) - picked)
