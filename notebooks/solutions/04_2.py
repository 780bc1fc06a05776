def bpr_slope(positive, negative):
    surprise = 1 - 1 / (1 + np.exp(negative - positive))  # 1 - sigmoid of the margin
    return -surprise, surprise
