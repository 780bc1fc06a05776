def absorb(P, Q, h):
    root = np.sqrt(np.abs(h))
    return P * root * np.sign(h), Q * root
