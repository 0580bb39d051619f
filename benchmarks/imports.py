"How long an import takes, in a fresh process each time; byte code is there already (a first round is thrown away)."
import time

from common import declare_operators, main

spec = dict(
    title='Import time',
    what='Seconds from the first import line to the end of it, in a fresh Python process.',
    sides=dict(torch='import torch',
               torchvision='import torch, torchvision',
               ours='import course_lib.vision.all',
               ours_torchvision='the same, then torchvision (loaded on first use)',
               fastai='import fastai.vision.all'),
    measures=dict(seconds=dict(text='seconds', better='low'), modules=dict(text='modules loaded', better='low')),
    ratios=[['ours', 'torchvision', 'seconds', 1.3], ['ours_torchvision', 'torchvision', 'seconds', None],
            ['fastai', 'torchvision', 'seconds', None], ['ours', 'fastai', 'seconds', None]],
    rounds=7, warm_up=True, threads=None)


def timed(work):
    import sys
    start = time.perf_counter()
    work()
    return dict(seconds=time.perf_counter() - start, modules=len(sys.modules))


def torch(args):
    def work(): import torch
    return timed(work)


def torchvision(args):
    def work():
        import torch
        declare_operators()
        import torchvision
    return timed(work)


def ours(args):
    def work(): import course_lib.vision.all
    return timed(work)


def ours_torchvision(args):
    def work():
        import course_lib.vision.all
        declare_operators()
        import torchvision
    return timed(work)


def fastai(args):
    def work():
        declare_operators()
        import fastai.vision.all
    return timed(work)


if __name__ == '__main__': main({k: globals()[k] for k in spec['sides']})
