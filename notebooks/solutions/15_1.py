def rate_for(batch_size):
    return 0.004 * np.sqrt(batch_size / 16384)
