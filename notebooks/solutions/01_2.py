def in_common(a, b):
    return len(set(a).intersection(b))
