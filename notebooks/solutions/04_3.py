def best_constant(num_negatives):
    answer = 1 / (1 + num_negatives)  # the mean label minimises the squared loss
    return np.log(answer / (1 - answer))
