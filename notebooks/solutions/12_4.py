import math


def after_tries(validation, test, k):
    n = len(test)
    # The setting that i others are behind of is picked if the other k - 1 tries are among those i.
    chance = [math.comb(i, k - 1) / math.comb(n, k) for i in range(n)]
    return np.dot(chance, test[np.argsort(validation)])
