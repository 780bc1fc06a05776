def whole_gradient(gradients, instances):
    busy = instances > 0
    return instances[busy] @ gradients[busy] / instances.sum()
