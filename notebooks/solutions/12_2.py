def cheapest(P, Q, h):
    tables = (P**2).sum() + (Q**2).sum()
    return (tables / (2 * (h**2).sum())) ** (1 / 6)
