"The recipe of lesson 1 on the real photographs, through the command: what a user gets, with another seed, and from nothing."
from common import main, recipe

spec = dict(
    title='Cats and dogs: the recipe on real photographs',
    what='`course_lib train dogscats --data real`, as it comes, with the backbone that the library brings; once more with another seed; and '
         'from nothing, with as many epochs (`--no-pretrained`). 2,000 photographs to learn from, 500 to judge by: the standard error of an '
         'accuracy of 0.95 is 0.01. Each side in a process of its own.',
    sides=dict(ours='trained backbone, seed 0 (as it comes)', other_seed='trained backbone, seed 1', scratch='from nothing, seed 0'),
    measures=dict(accuracy=dict(text='accuracy, mean of five looks at each picture', better='high', quality=True),
                  one_look=dict(text='accuracy, one look', better='high', quality=True),
                  head=dict(text='accuracy after the head alone', better='high', quality=True),
                  first_size=dict(text='accuracy after all layers, small pictures', better='high', quality=True),
                  valid_loss=dict(text='validation loss', better='low', quality=True),
                  majority=dict(text='accuracy of naming the commoner class', better='high', quality=True),
                  head_seconds=dict(text='seconds until the head is trained', better='low'),
                  first_size_seconds=dict(text='seconds until all layers are, small pictures', better='low'),
                  recipe_seconds=dict(text='seconds, data to metric', better='low'),
                  seconds=dict(text='seconds, whole command with page and figures', better='low')),
    ratios=[], rounds=1, threads=1, data='real')


def ours(args, *more):
    told, took = recipe(args, 'dogscats', '--epochs 1 --more 1 --size 32 --larger 40 --tta 1', *more)
    steps = {s['step']: s for s in told['steps']}
    first = steps.get('everything') or steps['from nothing']
    found = dict(accuracy=told['accuracy'], one_look=told['accuracy_one_look'], valid_loss=told['valid_loss'],
                 first_size=first['accuracy'], first_size_seconds=first['seconds'],
                 majority=told['baselines']['majority class']['accuracy'], recipe_seconds=told['seconds'], seconds=took,
                 settings=told['settings'])
    head = steps.get('the head alone')
    return found | (dict(head=head['accuracy'], head_seconds=head['seconds']) if head else {})


def other_seed(args): return ours(args, '--seed', '1')
def scratch(args): return ours(args, '--no-pretrained')


if __name__ == '__main__': main(dict(ours=ours, other_seed=other_seed, scratch=scratch))
