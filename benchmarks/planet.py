"The recipe of satellite tags on real aerial photographs, through the command: what a user gets, with another seed, and from nothing."
from common import main, recipe

spec = dict(
    title='Satellite tags: the recipe on real aerial photographs',
    what='`course_lib train planet --data real`, as it comes: EfficientNet-Lite0 at 128 pixels; once more with another seed; from the body of '
         'lesson 7, `course_small`; and a small net from nothing (`tile_net`). 840 tiles of 128 pixels to learn from, 210 to judge by, 17 tags. '
         'Each side in a process of its own.',
    about_data='1,050 aerial photographs with 17 tags from the mirror', source='PLANET_SAMPLE', sample='planet',
    sides=dict(ours='as it comes, seed 0', other_seed='as it comes, seed 1', course_small='from course_small, seed 0',
               tile_net='tile_net from nothing, seed 0'),
    measures=dict(f2=dict(text='F2, mean of five looks, threshold of the other half', better='high', quality=True),
                  f2_one_look=dict(text='F2, one look', better='high', quality=True),
                  always=dict(text='F2 of the most frequent tags, always', better='high', quality=True),
                  head=dict(text='F2 at 0.2 after the head alone', better='high', quality=True),
                  everything=dict(text='F2 at 0.2 after all layers', better='high', quality=True),
                  valid_loss=dict(text='validation loss', better='low', quality=True),
                  head_seconds=dict(text='seconds until the head is trained', better='low'),
                  recipe_seconds=dict(text='seconds, data to metric', better='low'),
                  seconds=dict(text='seconds, whole command with page', better='low')),
    ratios=[], rounds=1, threads=2, data='real')


def ours(args, *more):
    told, took = recipe(args, 'planet', '--arch efficientnet_lite0 --head 1 --epochs 1 --size 32 --tta 1', *more)
    steps = {s['step']: s for s in told['steps']}
    first = steps.get('everything') or steps['from nothing']
    found = dict(f2=told['f2'], f2_one_look=told['f2_one_look'], valid_loss=told['valid_loss'], everything=first['f2'],
                 always=told['baselines']['the most frequent tags, always']['f2'],
                 recipe_seconds=told['seconds'], seconds=took, settings=told['settings'])
    head = steps.get('the head alone, on stored activations')
    return found | (dict(head=head['f2'], head_seconds=head['seconds']) if head else {})


def other_seed(args): return ours(args, '--seed', '1')
def course_small(args): return ours(args, '--arch', 'course_small', '--lr', '0.005')
def tile_net(args): return ours(args, '--arch', 'tile_net')


if __name__ == '__main__': main(dict(ours=ours, other_seed=other_seed, course_small=course_small, tile_net=tile_net))
