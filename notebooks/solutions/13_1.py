def pool(vectors, mask):
    real = np.maximum(mask.sum(1, keepdims=True), 1)  # (B, 1), never 0
    return (vectors * mask[..., None]).sum(1) / real
