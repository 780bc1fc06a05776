def rest(scores):
    of_users = scores.mean(axis=1, keepdims=True)
    return scores - of_users - scores.mean(axis=0) + scores.mean()
