def softmax_loss(logits):
    logits = logits - logits.max(axis=1, keepdims=True)  # so that exp cannot overflow
    return (np.log(np.exp(logits).sum(axis=1)) - logits[:, 0]).mean()
