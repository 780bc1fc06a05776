def share_of_rare(counts, at_most):
    return (np.asarray(counts) <= at_most).mean()
