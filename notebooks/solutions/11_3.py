def fields_near(ours, published, tolerance):
    distance = np.abs(ours - published)
    return np.sum(distance <= tolerance), np.sum(~np.isnan(distance))
