def hr_by_alpha(gmf, mlp, alphas):
    values = []
    for alpha in alphas:
        mixed = alpha * gmf + (1 - alpha) * mlp
        ranks = (mixed[:, 1:] >= mixed[:, :1]).sum(axis=1)
        values.append((ranks < 10).mean())
    return values
