def sgd_step(table, rows, gradients, learning_rate):
    stepped = table.copy()
    np.add.at(stepped, rows, -learning_rate * gradients)
    return stepped
