"The recipe of lesson 1 on the real photographs, through the command: what a user gets, with another seed, and from nothing."
from common import main, recipe

spec = dict(
    title='Cats and dogs: the recipe on real photographs',
    what='`course_lib train dogscats --data real`, as it comes: EfficientNet-Lite0 at 192 pixels, its head on stored activations, then two epochs of '
         'all layers; once more with another seed; the head alone (`--epochs 0`); the same from the body of lesson 7, `course_small`; and from '
         'nothing (`course_tiny`, 12 epochs at 96 pixels). 2,000 photographs to learn from, 500 to judge by: the standard error of an accuracy of '
         '0.98 is 0.006. Each side in a process of its own.',
    sides=dict(ours='as it comes, seed 0', other_seed='as it comes, seed 1', head_only='the head alone, seed 0', course_small='from course_small, seed 0',
               scratch='from nothing, seed 0'),
    measures=dict(accuracy=dict(text='accuracy, five looks at each picture', better='high', quality=True),
                  one_look=dict(text='accuracy, one look', better='high', quality=True),
                  head=dict(text='accuracy after the head alone', better='high', quality=True),
                  valid_loss=dict(text='validation loss', better='low', quality=True),
                  majority=dict(text='accuracy of naming the commoner class', better='high', quality=True),
                  head_seconds=dict(text='seconds until the head is trained', better='low'),
                  recipe_seconds=dict(text='seconds, data to metric', better='low'),
                  seconds=dict(text='seconds, whole command with page and figures', better='low')),
    ratios=[], rounds=1, threads=2, data='real')


def ours(args, *more):
    told, took = recipe(args, 'dogscats', '--head 1 --epochs 1 --size 32 --tta 1', *more)
    found = dict(accuracy=told['accuracy'], one_look=told['accuracy_one_look'], valid_loss=told['valid_loss'],
                 majority=told['baselines']['majority class']['accuracy'], recipe_seconds=told['seconds'], seconds=took,
                 settings=told['settings'])
    head = next((s for s in told['steps'] if s['step'].startswith('the head alone')), None)
    return found | (dict(head=head['accuracy'], head_seconds=head['seconds']) if head else {})


def other_seed(args): return ours(args, '--seed', '1')
def head_only(args): return ours(args, '--epochs', '0')
def course_small(args): return ours(args, '--arch', 'course_small', '--size', '96', '--epochs', '4')
def scratch(args): return ours(args, *'--no-pretrained --arch course_tiny --size 96 --head 0 --epochs 12 --lr 0.01'.split())


if __name__ == '__main__': main(dict(ours=ours, other_seed=other_seed, head_only=head_only, course_small=course_small, scratch=scratch))
