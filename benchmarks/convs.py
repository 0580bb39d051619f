"""Convolutions in float32 on a CPU: what makes a step of training faster, and where that ends.

The same net, batch and number of steps each time, in a bare loop: only one thing differs from the first side. The last but one computes
nothing but the convolutions of a step, forward and backward: a loop cannot be faster than that.
"""
import time

from common import main

spec = dict(
    title='A step of training in float32',
    what='resnet18 (two classes) on 32 pictures of 128 pixels, forward, backward and step of AdamW, in a bare PyTorch loop with one thread: milliseconds a step, '
         'median of eight. Each side differs from `plain` in one thing. `convolutions`: the twenty convolutions of the net alone, forward and backward.',
    sides=dict(plain='float32 as it comes', channels_last='channels_last', fused='fused optimizer', first='no gradient of the first layer',
               compiled='torch.compile', convolutions='convolutions only', bf16='bf16 and channels_last'),
    measures=dict(step=dict(text='milliseconds a step', better='low')),
    ratios=[[side, 'plain', 'step', None] for side in ('channels_last', 'fused', 'first', 'compiled', 'convolutions', 'bf16')],
    rounds=3, threads=1)


def net_and_batch(args, channels_last=False):
    import torch
    from course_lib.vision.models import tvm
    torch.manual_seed(args.round)
    net, n = tvm.resnet18(num_classes=2), 4 if args.quick else 32
    x, y = torch.randn(n, 3, 128, 128), torch.randint(0, 2, (n,))
    if channels_last: net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    return net, x, y


def milliseconds(step, args):
    "The median step; the first ones are a warm-up."
    times = []
    for _ in range(2 if args.quick else 10):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    times = sorted(times[-8:])
    return dict(step=1000 * times[len(times) // 2])


def trained(args, channels_last=False, fused=False, first=False, compiled=False, half=False):
    import torch
    import torch.nn.functional as F
    net, x, y = net_and_batch(args, channels_last)
    if first: net.conv1.weight.requires_grad_(False)
    opt = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-3, fused=fused)
    model = torch.compile(net) if compiled else net
    def step():
        with torch.autocast('cpu', torch.bfloat16, enabled=half): loss = F.cross_entropy(model(x).float(), y)
        loss.backward()
        opt.step()
        opt.zero_grad()
    return milliseconds(step, args)


def plain(args): return trained(args)
def channels_last(args): return trained(args, channels_last=True)
def fused(args): return trained(args, fused=True)
def first(args): return trained(args, first=True)
def compiled(args): return trained(args, compiled=True)
def bf16(args): return trained(args, channels_last=True, half=True)


def convolutions(args):
    "Each convolution on an input of its size: forward, and both gradients (of the first only that of its weight)."
    import torch
    from torch import nn
    net, x, _ = net_and_batch(args)
    inputs, hooks = [], []
    for m in net.modules():
        if isinstance(m, nn.Conv2d): hooks.append(m.register_forward_pre_hook(lambda m, xs: inputs.append((m, xs[0].detach()))))
    with torch.no_grad(): net(x)
    for h in hooks: h.remove()
    work = [(m, o.clone().requires_grad_(m is not net.conv1), torch.ones_like(m(o))) for m, o in inputs]
    def step():
        for m, o, grad in work:
            m(o).backward(grad)
            o.grad = m.weight.grad = None
    return milliseconds(step, args)


if __name__ == '__main__': main(dict(plain=plain, channels_last=channels_last, fused=fused, first=first, compiled=compiled, convolutions=convolutions, bf16=bf16))
