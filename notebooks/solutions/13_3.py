def decade_rows(year):
    decade = year // 10
    decades = np.unique(decade[~np.isnan(decade)])
    return (decade[:, None] == decades).astype(float)  # nan equals nothing
