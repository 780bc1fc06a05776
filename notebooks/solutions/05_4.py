def users_needed(hr, difference, disagree):
    narrow = (1.96 / difference) ** 2
    return narrow * 2 * hr * (1 - hr), narrow * disagree
