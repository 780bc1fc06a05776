from scipy import stats


def expected_ndcg(ranks, num_candidates, rivals):
    places = np.arange(10)
    chance = stats.hypergeom.pmf(places, rivals, ranks[:, None], num_candidates)  # (users, 10)
    return (chance / np.log2(places + 2)).sum(axis=1).mean()
