"""A stored model in a fresh process: until the first answer, one picture, sixty-four, and the size of the file.

The same net (resnet18, two classes, untrained: speed is all that counts here) at 128 pixels, stored four ways of ours and fastai's. A first
process stores it; a second one, whose clock starts before any import, loads it and answers.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from common import main

spec = dict(
    title='A stored model answers',
    what='resnet18 at 128 pixels, stored and loaded in a fresh process with one thread: seconds from the start of Python to the first answer (imports '
         'and loading included), then one picture from its file to its answer (median of 20), then 64 pictures, and megabytes of the file.',
    sides=dict(ours='course_lib, learn.export and predict',
               onnx='ONNX Runtime, to_onnx and the reader beside it',
               onnx_int8='the same with 8 bits',
               program='torch.export, to_program',
               fastai='fastai, learn.export and predict'),
    measures=dict(first=dict(text='seconds to the first answer', better='low'), one=dict(text='seconds, one picture', better='low'),
                  many=dict(text='seconds, 64 pictures', better='low'), megabytes=dict(text='megabytes', better='low')),
    ratios=[['ours', 'fastai', 'first', None], ['ours', 'fastai', 'one', None], ['ours', 'fastai', 'many', None],
            ['onnx', 'fastai', 'first', None], ['onnx', 'fastai', 'one', None], ['onnx', 'ours', 'many', None],
            ['onnx_int8', 'onnx', 'many', None], ['onnx_int8', 'onnx', 'megabytes', None]],
    rounds=3, threads=1, data='sample')

clock = '''
import json, sys, time
began = time.perf_counter()
files, model = json.loads(sys.argv[1]), sys.argv[2]
{load}
one(files[0])
first, times = time.perf_counter() - began, []
for f in files[:20]:
    t = time.perf_counter(); one(f); times.append(time.perf_counter() - t)
many(files[:64])
t = time.perf_counter(); many(files[:64]); took = time.perf_counter() - t
print(json.dumps(dict(first=first, one=sorted(times)[len(times) // 2], many=took)))
'''
reader = 'from onnx_reader import OnnxModel\nm = OnnxModel(model, threads=1)\none = lambda f: m.predict([f])\nmany = m.predict\n'
loads = ('import torch\nfrom onnx_reader import picture\nimport numpy as np\nfrom pathlib import Path\nm = torch.export.load(model).module()\n'
           'how = json.loads(Path(model).with_suffix(".json").read_text())["prepare"]\n'
           'many = lambda fs: m(torch.from_numpy(np.stack([picture(f, how) for f in fs])))\none = lambda f: many([f])\n')
learner = ('learn = load_learner(model)\nlearn.logging = False\none = lambda f: silent(lambda: learn.predict(f))\n'
           'many = lambda fs: silent(lambda: learn.get_preds(dl=learn.dls.test_dl(fs)))\n'
           'def silent(f):\n    with learn.no_bar(), learn.no_logging(): return f()\n')
declared = ('import torch\n_lib = torch.library.Library("torchvision", "FRAGMENT")\n'
            '_lib.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")\n'
            '_lib.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")\n')


def answered(args, store, load):
    "Store a model in this process, measure it in another."
    from pathlib import Path
    files = sorted(str(f) for f in Path(args.data).rglob('*.jpg'))[:8 if args.quick else 64]
    with tempfile.TemporaryDirectory() as folder:
        model = store(Path(folder), files)
        env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get('PYTHONPATH', '')]))
        ran = subprocess.run([sys.executable, '-W', 'ignore', '-c', clock.format(load=load), json.dumps(files), str(model)], cwd=folder, env=env,
                             capture_output=True, text=True)
        if ran.returncode: raise RuntimeError(ran.stderr[-2000:])
        return dict(json.loads(ran.stdout.strip().split('\n')[-1]), megabytes=model.stat().st_size / 1e6)


def made(v, files):
    v.set_seed(0)
    dls = v.ImageDataLoaders.from_path_func('.', files, v.parent_label, item_tfms=v.Resize(128), bs=4)
    return v.vision_learner(dls, v.resnet18, pretrained=False)


def exported(v):
    def store(folder, files):
        learn = made(v, [Path(f) for f in files])
        learn.path = folder
        learn.export('model.pkl')
        return folder/'model.pkl'
    return store


def as_onnx(folder, files):
    import course_lib.vision.all as v
    from course_lib.deploy import to_onnx
    return to_onnx(made(v, [Path(f) for f in files]), folder/'model.onnx')


def ours(args):
    import course_lib.vision.all as v
    return answered(args, exported(v), 'from course_lib.vision.all import load_learner\n' + learner)


def onnx(args): return answered(args, as_onnx, reader)


def onnx_int8(args):
    def store(folder, files):
        from course_lib.deploy import to_int8
        return to_int8(as_onnx(folder, files), items=files[:32])
    return answered(args, store, reader)


def program(args):
    def store(folder, files):
        import course_lib.vision.all as v
        from course_lib.deploy import to_program
        as_onnx(folder, files)   # leaves the reader there
        return to_program(made(v, [Path(f) for f in files]), folder/'program.pt2')
    return answered(args, store, loads)


def fastai(args):
    from common import declare_operators
    declare_operators()
    import fastai.vision.all as v
    load = (declared if os.environ.get('BENCH_DECLARE_OPERATORS') == '1' else '') + 'from fastai.vision.all import load_learner\n' + learner
    return answered(args, exported(v), load)


if __name__ == '__main__': main({k: globals()[k] for k in spec['sides']})
