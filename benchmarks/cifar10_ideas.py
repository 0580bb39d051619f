"The fast net of lesson 7 on CIFAR-10 without one of its ideas at a time: what each is worth in a short training."
import time

from common import main

spec = dict(
    title='CIFAR-10: the fast net without one idea at a time',
    what='`fast_net` with 32, 128 and 256 channels, two epochs of the 50,000 training pictures, judged by the 10,000 test pictures: as it is, and '
         'each time with one idea left out. In place of Muon: Adam with one cycle. The looks are counted apart.',
    about_data='CIFAR-10 from the mirror, 50,000 + 10,000 pictures', source='CIFAR', sample='cifar',
    sides=dict(all='all ideas', learnt='a first layer that learns, in place of whitening', relu='ReLU, in place of GELU', hard='hard targets',
               chance='mirrored by chance, not by turns', still='never moved nor mirrored', adam='Adam at 5e-3, one cycle, in place of Muon'),
    measures=dict(accuracy=dict(text='accuracy, six looks', better='high', quality=True),
                  one_look=dict(text='accuracy, one look', better='high', quality=True),
                  seconds=dict(text='seconds of training', better='low')),
    ratios=[], rounds=1, threads=1, data='real')


def trained(args, turns=True, shift=2, change=None, fit=None, **kwargs):
    from course_lib.apps.cifar10 import fast_learner, small_pictures
    from course_lib.torch_core import set_seed
    from course_lib.vision.fast_net import SixLooks, fast_net
    set_seed(args.round)
    dls = small_pictures(args.data, 50 if args.quick else 500, shift, turns)
    net = fast_net(len(dls.vocab), (8, 16, 16) if args.quick else (32, 128, 256))
    if change: change(net)
    learn, start = fast_learner(dls, net, **kwargs), time.perf_counter()
    epochs = 1 if args.quick else 2
    with learn.no_bar(), learn.no_logging():
        if fit: fit(learn, epochs)
        else: learn.fit_falling(epochs, .24, wd=0.)
    took, one_look = time.perf_counter() - start, learn.validate()[1]
    learn.model = SixLooks(learn.model)
    return dict(accuracy=learn.validate()[1], one_look=one_look, seconds=took)


def first_layer(net):
    from torch import nn
    net[0] = nn.Conv2d(3, net[0].out_channels, 2)


def with_relu(net):
    from torch import nn
    for part in net.modules():
        for name, child in list(part.named_children()):
            if isinstance(child, nn.GELU): setattr(part, name, nn.ReLU())


def by_adam(args, lr):
    from course_lib.callback import schedule  # noqa: F401 gives learners `fit_one_cycle`
    from course_lib.optimizer import Adam
    return trained(args, fit=lambda learn, epochs: learn.fit_one_cycle(epochs, lr), opt_func=Adam)


def still(args):
    from unittest import mock

    import torch
    with mock.patch('course_lib.vision.fast_net.MovingPictures._sides', lambda self, idxs: torch.zeros(len(idxs), dtype=torch.bool)):
        return trained(args, shift=0)


def all(args): return trained(args)
def learnt(args): return trained(args, change=first_layer)
def relu(args): return trained(args, change=with_relu)
def hard(args): return trained(args, smooth=0.)
def chance(args): return trained(args, turns=False)
def adam(args): return by_adam(args, 5e-3)


if __name__ == '__main__': main(dict(all=all, learnt=learnt, relu=relu, hard=hard, chance=chance, still=still, adam=adam))
