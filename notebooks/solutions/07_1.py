def count_parameters(embedding_dim, hidden_layers):
    widths = [2 * embedding_dim, *hidden_layers, 1]
    return sum(a * b + b for a, b in zip(widths, widths[1:]))
