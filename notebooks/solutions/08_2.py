def honest_report(validation_ndcg, test_hr):
    picked = 1 + np.argmax(validation_ndcg[1:])  # row 0 is the untrained model
    return picked, test_hr[picked], max(test_hr[1:]) - test_hr[picked]
