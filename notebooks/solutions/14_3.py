def take_back(left, right, q):
    return np.linalg.solve(left - np.outer(q, q), right - q)
