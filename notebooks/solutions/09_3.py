def agree(one, other, tolerance):
    if one.shape != other.shape:
        return False
    return np.abs(one - other).max() <= tolerance * np.abs(one).max()
