"The ladder of lesson 7 on CIFAR-10, through the command: from a linear layer to the fast net."
from common import main, recipe

spec = dict(
    title='CIFAR-10: the ladder, rung by rung',
    what='`course_lib train cifar10 --data real --rung …`: four epochs each; 50,000 pictures of 32 pixels to learn from, the 10,000 test pictures to judge '
         'by. Each rung in a process of its own. The course quotes 47, 60, 68, 65 and 85 % for its rungs (fully connected, convolutions, batch norm, '
         'deeper, wide residual net with several looks).',
    about_data='CIFAR-10 from the mirror, 50,000 + 10,000 pictures', source='CIFAR', sample='cifar',
    sides=dict(fc='fully connected', conv='convolutions', batchnorm='with batch norm', deep='deeper, without detours', resnet='the same with detours',
               wide='wider, dropout, six looks', fast='the fast net'),
    measures=dict(accuracy=dict(text='accuracy', better='high', quality=True),
                  one_look=dict(text='accuracy, one look', better='high', quality=True),
                  train_loss=dict(text='training loss, last epoch', better='low', quality=True),
                  valid_loss=dict(text='validation loss', better='low', quality=True),
                  linear=dict(text='accuracy of a linear layer', better='high', quality=True),
                  parameters=dict(text='parameters', better='low', quality=True),
                  seconds=dict(text='seconds, pictures to trained net', better='low')),
    ratios=[], rounds=1, threads=1, data='real')


def rung(args, name):
    told, _ = recipe(args, 'cifar10', '--bs 50', '--rung', name, '--epochs', '1' if args.quick else '4')
    return dict(accuracy=told['accuracy'], one_look=told.get('accuracy_one_look', told['accuracy']), train_loss=told['steps'][-1]['train_loss'],
                valid_loss=told['valid_loss'], linear=told['baselines']['linear layer']['accuracy'], parameters=told['parameters'],
                seconds=told['train_seconds'], settings=told['settings'], steps=told['steps'])


def fc(args): return rung(args, 'fc')
def conv(args): return rung(args, 'conv')
def batchnorm(args): return rung(args, 'batchnorm')
def deep(args): return rung(args, 'deep')
def resnet(args): return rung(args, 'resnet')
def wide(args): return rung(args, 'wide')
def fast(args): return rung(args, 'fast')


if __name__ == '__main__': main(dict(fc=fc, conv=conv, batchnorm=batchnorm, deep=deep, resnet=resnet, wide=wide, fast=fast))
