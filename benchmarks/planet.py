"The recipe of satellite tags on real aerial photographs, through the command: what a user gets, with another seed, and from nothing."
from common import main, recipe

spec = dict(
    title='Satellite tags: the recipe on real aerial photographs',
    what='`course_lib train planet --data real`, as it comes, with the backbone that the library brings; once more with another seed; the same '
         'from nothing (`--no-pretrained`); and a net of a sixteenth of its size, from nothing. 840 tiles of 128 pixels to learn from, 210 to '
         'judge by, 17 tags. Each side in a process of its own.',
    about_data='1,050 aerial photographs with 17 tags from the mirror', source='PLANET_SAMPLE', sample='planet',
    sides=dict(ours='trained backbone, seed 0 (as it comes)', other_seed='trained backbone, seed 1', scratch='from nothing, seed 0',
               tile_net='tile_net from nothing, seed 0'),
    measures=dict(f2=dict(text='F2, mean of five looks, threshold of the other half', better='high', quality=True),
                  f2_one_look=dict(text='F2, one look', better='high', quality=True),
                  always=dict(text='F2 of the most frequent tags, always', better='high', quality=True),
                  head=dict(text='F2 at 0.2 after the head alone', better='high', quality=True),
                  first_size=dict(text='F2 at 0.2 after all layers, 64 pixels', better='high', quality=True),
                  valid_loss=dict(text='validation loss', better='low', quality=True),
                  head_seconds=dict(text='seconds until the head is trained', better='low'),
                  first_size_seconds=dict(text='seconds until all layers are, 64 pixels', better='low'),
                  recipe_seconds=dict(text='seconds, data to metric', better='low'),
                  seconds=dict(text='seconds, whole command with page', better='low')),
    ratios=[], rounds=1, threads=2, data='real')


def ours(args, *more):
    told, took = recipe(args, 'planet', '--arch course_small --epochs 1 --more 1 --size 32 --larger 48 --tta 1', *more)
    steps = {s['step']: s for s in told['steps']}
    first = steps.get('everything') or steps['from nothing']
    found = dict(f2=told['f2'], f2_one_look=told['f2_one_look'], valid_loss=told['valid_loss'], first_size=first['f2'],
                 first_size_seconds=first['seconds'], always=told['baselines']['the most frequent tags, always']['f2'],
                 recipe_seconds=told['seconds'], seconds=took, settings=told['settings'])
    head = steps.get('the head alone')
    return found | (dict(head=head['f2'], head_seconds=head['seconds']) if head else {})


def other_seed(args): return ours(args, '--seed', '1')
def scratch(args): return ours(args, '--no-pretrained')
def tile_net(args): return ours(args, '--arch', 'tile_net')


if __name__ == '__main__': main(dict(ours=ours, other_seed=other_seed, scratch=scratch, tile_net=tile_net))
