def not_learning(gradients):
    return [name for name, g in gradients.items() if g is None or not np.any(g)]
