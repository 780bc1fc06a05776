def adam_in_keras(gradients, learning_rate, epsilon):
    weight, m, v = 0.0, 0.0, 0.0
    for t, gradient in enumerate(gradients, start=1):
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        correction = (1 - 0.999**t) ** 0.5 / (1 - 0.9**t)
        weight -= learning_rate * correction * m / (v**0.5 + epsilon)
    return weight
