"The recipe of letters on Nietzsche's book, through the command: three cells, and the two gated ones in small letters, as in the course."
from common import main, recipe

spec = dict(
    title='Nietzsche, letter by letter: the recipe on the real text',
    what='`course_lib train nietzsche --data real`, as it comes, for each cell; once more with `--lower`, since the course read small letters only. '
         'The first 80 % of the 600,893 characters train, the last 20 % judge, in one piece. Beside them counts of the last characters, '
         'and, for the command as it comes on a drawn text, the entropy of its source. Each side in a process of its own.',
    about_data='Beyond Good and Evil, translated by H. Zimmern, from the mirror', source='NIETZSCHE', sample='nietzsche',
    sides=dict(gru='GRU', lstm='LSTM', rnn='plain cell', gru_lower='GRU, small letters', lstm_lower='LSTM, small letters', drawn='drawn text, GRU'),
    measures=dict(nats=dict(text='nats a character', better='low', quality=True),
                  counts=dict(text='counts at their best, nats', better='low', quality=True),
                  entropy=dict(text='best reader, nats', better='low', quality=True),
                  bits=dict(text='bits a character', better='low', quality=True),
                  accuracy=dict(text='characters guessed', better='high', quality=True),
                  train_seconds=dict(text='seconds of training', better='low'),
                  seconds=dict(text='seconds, whole command with page', better='low')),
    ratios=[], rounds=1, threads=1, data='real')


def told(args, *more):
    "What the command says."
    found, took = recipe(args, 'nietzsche', '--epochs 1 --n-hid 32', *more)
    counts = next(v['nats'] for k, v in found['baselines'].items() if k.startswith('counts'))
    best = found['baselines'].get('the best reader')
    return dict({k: found[k] for k in ('nats', 'bits', 'accuracy')}, counts=counts, train_seconds=found['seconds'], seconds=took,
                settings=found['settings'], **(dict(entropy=best['nats']) if best else {}))


def gru(args): return told(args, '--cell', 'gru')
def lstm(args): return told(args, '--cell', 'lstm')
def rnn(args): return told(args, '--cell', 'rnn')
def gru_lower(args): return told(args, '--cell', 'gru', '--lower')
def lstm_lower(args): return told(args, '--cell', 'lstm', '--lower')
def drawn(args): return told(args, '--data', 'sample')


if __name__ == '__main__': main(dict(gru=gru, lstm=lstm, rnn=rnn, gru_lower=gru_lower, lstm_lower=lstm_lower, drawn=drawn))
