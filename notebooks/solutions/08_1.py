def mix_output(h_gmf, b_gmf, h_mlp, b_mlp, alpha):
    h = np.concatenate([alpha * h_gmf, (1 - alpha) * h_mlp])
    return h, alpha * b_gmf + (1 - alpha) * b_mlp
