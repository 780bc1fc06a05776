def gradient_of_p(p, q, h, bias, label):
    logit = (p * q) @ h + bias
    error = 1 / (1 + np.exp(-logit)) - label
    return error * h * q
