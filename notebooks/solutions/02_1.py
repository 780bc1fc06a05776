def batch_bytes(batch_size, num_users):
    return batch_size * num_users * 4, batch_size * 8
