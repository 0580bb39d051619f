"Pictures a second from files to batches of bytes: the first time through, and from then on."
import time

from common import declare_operators, main, warm_files

spec = dict(
    title='Loader throughput, pictures',
    what='Pictures a second from JPEG files (read before, so the disk does not count) to batches of 64 at 128 pixels, cropped, '
         'as floats; the batches are not used. First pass, and second pass.',
    sides=dict(pillow='Pillow alone, one thread: open, convert, resize',
               ours='course_lib ImageDataLoaders (threads, then the cache)',
               fastai='fastai ImageDataLoaders (its default: processes)',
               torch='torchvision ImageFolder, two worker processes'),
    measures=dict(first=dict(text='pictures/s, first pass', better='high'), later=dict(text='pictures/s, second pass', better='high')),
    ratios=[['ours', 'fastai', 'first', None], ['ours', 'fastai', 'later', None],
            ['ours', 'torch', 'first', None], ['ours', 'torch', 'later', None]],
    rounds=3, threads='cores', data='sample')

size, bs = 128, 64


def speed(dl):
    def once():
        start = time.perf_counter()
        n = sum(len(b[0]) for b in dl)
        return n / (time.perf_counter() - start)
    return dict(first=once(), later=once())


def pillow(args):
    from PIL import Image, ImageOps
    files = sorted((args.data/'train').rglob('*.jpg'))
    def once():
        start = time.perf_counter()
        for f in files: ImageOps.fit(Image.open(f).convert('RGB'), (size, size), Image.Resampling.BILINEAR)
        return len(files) / (time.perf_counter() - start)
    warm_files(args.data/'train')
    return dict(first=once(), later=once())


def ours(args):
    from course_lib.vision.all import ImageDataLoaders, Resize
    warm_files(args.data/'train')
    return speed(ImageDataLoaders.from_folder(args.data, item_tfms=Resize(size), bs=bs).train)


def fastai(args):
    declare_operators()
    from fastai.vision.all import ImageDataLoaders, Resize
    warm_files(args.data/'train')
    return speed(ImageDataLoaders.from_folder(args.data, item_tfms=Resize(size), bs=bs).train)


def torch(args):
    declare_operators()
    from torch.utils.data import DataLoader
    from torchvision import transforms as T
    from torchvision.datasets import ImageFolder
    warm_files(args.data/'train')
    data = ImageFolder(args.data/'train', T.Compose([T.Resize(size), T.RandomCrop(size), T.ToTensor()]))
    return speed(DataLoader(data, bs, shuffle=True, drop_last=True, num_workers=2))


if __name__ == '__main__': main({k: globals()[k] for k in spec['sides']})
