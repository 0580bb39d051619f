"Several models against their best, and two targets against one: the recipe of rice plants, through the command."
import re
import tempfile
from pathlib import Path

from common import main, recipe

spec = dict(
    title='Several models, several targets',
    what='`course_lib train paddy`, as it comes: three members (EfficientNet-Lite0 on squished and on cropped pictures, `course_small`), heads on stored '
         'activations, two looks at each picture; then one member alone, asked for the disease only, and for disease and variety. Drawn plants: 320 to '
         'learn from, 80 to judge by. Aerial photographs: 1,050 of 21 kinds of land (UC Merced, 128 pixels), four pictures in five to learn from. '
         'Each round has another seed and so other pictures to judge by.',
    about_data='drawn plants; 1,050 aerial photographs from the mirror', source='PLANET_SAMPLE', sample='planet',
    sides=dict(photographs='three members, aerial photographs', drawn='three members, drawn plants',
               one='one member, disease only', two='one member, disease and variety'),
    measures=dict(accuracy=dict(text='accuracy, all together', better='high', quality=True),
                  best=dict(text='the best member alone', better='high', quality=True),
                  mean=dict(text='mean of the members alone', better='high', quality=True),
                  majority=dict(text='naming the commonest label', better='high', quality=True),
                  variety=dict(text='accuracy of the variety', better='high', quality=True),
                  seconds=dict(text='seconds, whole command', better='low')),
    ratios=[], rounds=4, threads=1, data='real')


def told(args, *more):
    "What the command says of its members and of all together."
    found, took = recipe(args, 'paddy', '--head 1 --size 32 --tta 0', '--seed', str(args.round), *more)
    alone = [v['accuracy'] for k, v in found['baselines'].items() if k.endswith(' alone')]
    values = dict(accuracy=found['accuracy'], majority=found['baselines']['commonest label']['accuracy'], seconds=took, settings=found['settings'])
    if len(alone) > 1: values |= dict(best=max(alone), mean=sum(alone) / len(alone))
    return values | (dict(variety=found['variety_accuracy']) if 'variety_accuracy' in found else {})


def photographs(args):
    "The kind of land is the letters of a file's name; each becomes a folder, as the recipe wants it."
    if args.quick: return told(args)
    with tempfile.TemporaryDirectory() as tmp:
        for file in sorted(args.data.rglob('*.jpg')):
            folder = Path(tmp, 'train_images', re.match('[a-z]+', file.stem)[0])
            folder.mkdir(parents=True, exist_ok=True)
            (folder/file.name).symlink_to(file.resolve())
        return told(args, '--data', tmp, '--size', '128')   # as large as they are


def drawn(args): return told(args, '--data', 'sample')
def one(args): return told(args, '--data', 'sample', '--models', 'efficientnet_lite0')
def two(args): return told(args, '--data', 'sample', '--models', 'efficientnet_lite0', '--variety')


if __name__ == '__main__': main(dict(photographs=photographs, drawn=drawn, one=one, two=two))
