def pessimistic_ranks(positive, negatives):
    return (negatives >= positive[:, None]).sum(axis=1)
