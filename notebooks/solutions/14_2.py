def two_vectors(user_term, item_term):
    P = np.column_stack([user_term, np.ones(len(user_term))])
    Q = np.column_stack([np.ones(len(item_term)), item_term])
    return P, Q
