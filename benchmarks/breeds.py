"The recipe of dog breeds on real photographs, through the command: what a user gets, with another seed, unfrozen, and from another body."
from common import main, recipe

spec = dict(
    title='Dog breeds: the recipe on real photographs',
    what='`course_lib train dogbreeds --data real`, as it comes: EfficientNet-Lite0 at 288 pixels, which has seen these photographs in ImageNet; '
         'its last layer starts from those rows of the old head that stand out for each breed, and is trained; once more with '
         'another seed; with two epochs of all layers (`--epochs 2`); and from the body of lesson 7, `course_small`, which has not. 800 '
         'photographs of 120 breeds to learn from, 200 to judge by: the standard error of an accuracy of 0.75 is 0.03. Each side in a process '
         'of its own.',
    about_data='1,000 photographs of 120 breeds from the mirror', source='DOG_BREEDS', sample='dog_breeds',
    sides=dict(ours='as it comes, seed 0', other_seed='as it comes, seed 1', unfrozen='two epochs of all layers more, seed 0', course_small='from course_small, seed 0'),
    measures=dict(accuracy=dict(text='accuracy', better='high', quality=True), top5=dict(text='right breed among the first five', better='high', quality=True),
                  log_loss=dict(text='log loss, softened on the other half', better='low', quality=True),
                  log_loss_as_it_is=dict(text='log loss, as it is', better='low', quality=True),
                  head=dict(text='accuracy after the head, from stored activations', better='high', quality=True),
                  majority=dict(text='accuracy of naming the commonest breed', better='high', quality=True),
                  alike=dict(text='log loss of each breed alike', better='low', quality=True),
                  alike_top5=dict(text='five breeds at random', better='high', quality=True),
                  head_seconds=dict(text='seconds until then', better='low'), recipe_seconds=dict(text='seconds, data to metric', better='low'), seconds=dict(text='seconds, whole command with page', better='low')),
    ratios=[], rounds=1, threads=2, data='real')


def ours(args, *more):
    told, took = recipe(args, 'dogbreeds', '--head 1 --epochs 1 --size 32 --tta 1', *more)
    alike = told['baselines']['each breed alike']
    head = next((s for s in told['steps'] if s['step'].startswith('the head alone')), None)
    found = dict(head=head['accuracy'], head_seconds=head['seconds']) if head else {}
    return dict(found, **{k: told[k] for k in told['metrics']}, majority=told['baselines']['commonest breed']['accuracy'], alike=alike['log_loss'],
                alike_top5=alike['top5'], recipe_seconds=told['seconds'], seconds=took, settings=told['settings'])


def other_seed(args): return ours(args, '--seed', '1')
def unfrozen(args): return ours(args, '--epochs', '2')
def course_small(args): return ours(args, '--arch', 'course_small', '--size', '96', '--lr', '0.005')


if __name__ == '__main__': main(dict(ours=ours, other_seed=other_seed, unfrozen=unfrozen, course_small=course_small))
