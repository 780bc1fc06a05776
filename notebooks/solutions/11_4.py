def seeds_needed(gain, std):
    return int(np.floor(8 * (std / gain) ** 2)) + 1
