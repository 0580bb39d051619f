"The fast net, a learner beside a bare PyTorch loop: the same net, batches, loss, precision and steps."
import time

from common import main

spec = dict(
    title='Training the fast net: a learner beside a bare loop',
    what='`fast_net` of lesson 7 with batches of 500 moving pictures of 32 pixels; Muon; bfloat16 and channels last on both sides. Pictures a second of '
         'an epoch after a first one, on drawn pictures.',
    sides=dict(ours='a Learner', bare='a loop of ten lines'),
    measures=dict(speed=dict(text='pictures a second of processor time', better='high')),
    ratios=[['bare', 'ours', 'speed', round(1 / .95, 3)]], rounds=5, threads=1, data='sample', about_data='drawn shapes, 3,000 pictures',
    source='CIFAR', sample='cifar')


def loaders(args):
    import torch
    from course_lib.apps.cifar10 import small_pictures
    from course_lib.torch_core import set_seed
    from course_lib.vision.fast_net import MovingPictures
    set_seed(0)
    dls, n = small_pictures(args.data, 50 if args.quick else 500, 2, True), 100 if args.quick else 3000
    x, y = dls.train_ds.tensors
    rows = torch.arange(n) % len(x)
    moving = MovingPictures(x[rows].as_subclass(type(x)), y[rows].as_subclass(type(y)), 2)
    moving.vocab, moving.loss_func = dls.train_ds.vocab, dls.train_ds.loss_func
    dls.train.dataset = moving
    return dls, n


def timed(epoch, n):
    epoch()
    start = time.process_time()
    epoch()
    return dict(speed=n / (time.process_time() - start))


def ours(args):
    from course_lib.apps.cifar10 import fast_learner
    from course_lib.callback.core import Callback
    dls, n = loaders(args)
    learn = fast_learner(dls, precision='bf16').to_channelslast()
    marks = []

    class Marks(Callback):
        def before_train(self): marks.append(time.process_time())
        def after_train(self): marks.append(time.process_time())
    with learn.no_bar(), learn.no_logging(): learn.fit(2, .01, wd=0., cbs=Marks())
    return dict(speed=n / (marks[3] - marks[2]))


def bare(args):
    import torch
    import torch.nn.functional as F
    from course_lib.apps.cifar10 import fast_learner
    dls, n = loaders(args)
    learn = fast_learner(dls)
    net = learn.model.to(memory_format=torch.channels_last).train()
    opt = learn.opt_func([p for p in net.parameters() if p.requires_grad], lr=.01)

    def epoch():
        for x, y in dls.train:
            with torch.autocast('cpu', torch.bfloat16): pred = net(x.to(memory_format=torch.channels_last))
            F.cross_entropy(pred.float(), y.as_subclass(torch.Tensor), label_smoothing=.2).backward()
            opt.step()
            opt.zero_grad()
    return timed(epoch, n)


if __name__ == '__main__': main(dict(ours=ours, bare=bare))
