import torch


def to_linear(kernel, bias):
    linear = torch.nn.Linear(*kernel.shape)  # (in, out)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(kernel.T))
        linear.bias.copy_(torch.from_numpy(bias))
    return linear
