def first_layer(p, q, W, b):
    dim = p.shape[1]
    user_part = p @ W[:dim]  # (B, width), once for all films
    film_part = q @ W[dim:]  # (B, n, width)
    return np.maximum(user_part[:, None] + film_part + b, 0)
