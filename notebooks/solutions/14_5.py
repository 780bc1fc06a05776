def at_most(ranked, kind, limit, k):
    shown, count = [], dict.fromkeys(kind, 0)
    for film in ranked:
        if len(shown) < k and count[kind[film]] < limit:
            shown.append(film)
            count[kind[film]] += 1
    return shown
