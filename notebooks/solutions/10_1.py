def shift(logits, trained_with, wanted):
    return logits + np.log(trained_with) - np.log(wanted)
