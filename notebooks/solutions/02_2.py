def bag(items, table):
    return table[items].mean(axis=0)
