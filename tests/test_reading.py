"Files as people have them: each value keeps its meaning, whole, in pieces and row by row; what is no table is refused in words."
import gzip
import random
import warnings

import numpy as np
import pandas as pd
import pytest

from course_lib.tabular.files import file_form, raw_table
from course_lib.tabular.reading import learn_table, learn_types, read_table
from course_lib.torch_core import from_config, to_config

nan = float('nan')
day = pd.Timestamp

# name -> (file name, bytes, {column: (kind, first values)})
files = {
    'plain': ('a.csv', b'a,b\n1,x\n2,y\n', dict(a=('whole', [1, 2]), b=('text', ['x', 'y']))),
    'semicolons': ('a.csv', b'a;b\n1;x\n2;y\n', dict(a=('whole', [1, 2]), b=('text', ['x', 'y']))),
    'tabs in .csv': ('a.csv', b'a\tb\n1\tx\n2\ty\n', dict(a=('whole', [1, 2]), b=('text', ['x', 'y']))),
    'pipes': ('a.csv', b'a|b\n1|x\n2|y\n', dict(a=('whole', [1, 2]), b=('text', ['x', 'y']))),
    'commas in .tsv': ('a.tsv', b'a,b\n1,x\n2,y\n', dict(a=('whole', [1, 2]), b=('text', ['x', 'y']))),
    'sep line': ('a.csv', b'sep=;\na;b\n1;x\n', dict(a=('whole', [1]), b=('text', ['x']))),
    'sep line in quotes': ('a.csv', b'"sep=|"\r\na|b\r\n1|x\r\n', dict(a=('whole', [1]), b=('text', ['x']))),
    'one column': ('a.csv', b'a\n1\n2\n', dict(a=('whole', [1, 2]))),
    'semicolons inside cells': ('a.csv', b'a,b\n1,x;y;z\n2,y;w\n', dict(a=('whole', [1, 2]), b=('text', ['x;y;z', 'y;w']))),
    'quoted commas': ('a.csv', b'a,b\n"1,5",x\n"2,5",y\n', dict(a=('number', [1.5, 2.5]), b=('text', ['x', 'y']))),
    'quoted newlines': ('a.csv', b'a,b\n1,"x\ny"\n2,z\n', dict(a=('whole', [1, 2]), b=('text', ['x\ny', 'z']))),
    'quotes after blanks': ('a.csv', b'a, b\n1, "x, y"\n2, "z"\n', dict(a=('whole', [1, 2]), b=('text', ['x, y', 'z']))),
    'carriage returns': ('a.csv', b'a,b\r1,x\r2,y\r', dict(a=('whole', [1, 2]), b=('text', ['x', 'y']))),
    'Windows lines': ('a.csv', b'a,b\r\n1,x\r\n2,y\r\n', dict(a=('whole', [1, 2]), b=('text', ['x', 'y']))),
    'no last newline': ('a.csv', b'a,b\n1,x\n2,y', dict(a=('whole', [1, 2]), b=('text', ['x', 'y']))),
    'blank lines': ('a.csv', b'\na,b\n\n1,x\n\n2,y\n\n', dict(a=('whole', [1, 2]), b=('text', ['x', 'y']))),
    'short rows': ('a.csv', b'a,b\n1\n2,y\n', dict(a=('whole', [1, 2]), b=('text', [nan, 'y']))),
    'trailing commas': ('a.csv', b'a,b\n1,x,\n2,y,\n', dict(a=('whole', [1, 2]), b=('text', ['x', 'y']))),
    'trailing commas everywhere': ('a.csv', b'a,b,\n1,x,\n2,y,\n', dict(a=('whole', [1, 2]), b=('text', ['x', 'y']))),
    'trailing semicolons': ('a.csv', b'a;b\n1,5;x;\n2,5;y;\n', dict(a=('number', [1.5, 2.5]), b=('text', ['x', 'y']))),
    'row names of R': ('a.csv', b'"a","b"\n"r1",1,"x"\n"r2",2,"y"\n', {'Unnamed: 0': ('text', ['r1', 'r2']), 'a': ('whole', [1, 2]), 'b': ('text', ['x', 'y'])}),
    'index of pandas': ('a.csv', b',a\n0,5\n1,7\n', dict(a=('whole', [5, 7]))),
    'shuffled index of pandas': ('a.csv', b',a\n7,5\n3,7\n', dict(a=('whole', [5, 7]))),
    'two indexes of pandas': ('a.csv', b',Unnamed: 0,a\n0,3,5\n1,1,7\n', dict(a=('whole', [5, 7]))),
    'a column without a name': ('a.csv', b'a,,b\n1,2,x\n3,4,y\n', {'a': ('whole', [1, 3]), 'Unnamed: 1': ('whole', [2, 4]), 'b': ('text', ['x', 'y'])}),
    'UTF-8 with a mark': ('a.csv', '\ufeffa,b\n1,é\n'.encode(), dict(a=('whole', [1]), b=('text', ['é']))),
    'UTF-16': ('a.csv', 'a,b\n1,é\n'.encode('utf-16'), dict(a=('whole', [1]), b=('text', ['é']))),
    'UTF-16 big end first': ('a.csv', b'\xfe\xff' + 'a;b\n1;é\n'.encode('utf-16-be'), dict(a=('whole', [1]), b=('text', ['é']))),
    'UTF-16 without a mark': ('a.csv', 'a,b\n1,e\n2,f\n'.encode('utf-16-le'), dict(a=('whole', [1, 2]), b=('text', ['e', 'f']))),
    'UTF-32': ('a.csv', 'a,b\n1,é\n'.encode('utf-32'), dict(a=('whole', [1]), b=('text', ['é']))),
    'cp1252': ('a.csv', 'a,b\n1,Köln €\n'.encode('cp1252'), dict(a=('whole', [1]), b=('text', ['Köln €']))),
    'latin-1': ('a.csv', b'a,b\n1,K\xf6ln \x81\n', dict(a=('whole', [1]), b=('text', ['Köln \x81']))),
    'cp1252 far down': ('a.csv', b'a,b\n' + b'1,x\n' * 30_000 + b'2,K\xf6ln\n', dict(a=('whole', [1]), b=('text', ['x']))),
    'packed': ('a.csv.gz', gzip.compress(b'a,b\n1,x\n'), dict(a=('whole', [1]), b=('text', ['x']))),
    'packed, and not called so': ('a.csv', gzip.compress(b'a,b\n1,x\n'), dict(a=('whole', [1]), b=('text', ['x']))),
    'called packed': ('a.csv.gz', b'a,b\n1,x\n', dict(a=('whole', [1]), b=('text', ['x']))),
    'blanks around names': ('a.csv', b' a ,b \n1,x\n', dict(a=('whole', [1]), b=('text', ['x']))),
    'blanks around words': ('a.csv', b'a,b\n1,no \n2, no\n3,no\n', dict(a=('whole', [1, 2, 3]), b=('text', ['no', 'no', 'no']))),
    'blanks around numbers': ('a.csv', b'a;b\n 1 ;x\n2  ;y\n', dict(a=('whole', [1, 2]), b=('text', ['x', 'y']))),
    'decimal commas': ('a.csv', b'a;b\n1,5;2,25\n3,75;4,5\n', dict(a=('number', [1.5, 3.75]), b=('number', [2.25, 4.5]))),
    'decimal commas with tabs': ('a.tsv', b'a\tb\n1,5\tx\n3,75\ty\n', dict(a=('number', [1.5, 3.75]), b=('text', ['x', 'y']))),
    'three decimals after a comma': ('a.csv', b'a;b\n1,234;2,5\n3,750;4,5\n', dict(a=('number', [1.234, 3.75]), b=('number', [2.5, 4.5]))),
    'nothing but three decimals': ('a.csv', b'a;b\n1,234;x\n3,750;y\n', dict(a=('number', [1.234, 3.75]), b=('text', ['x', 'y']))),
    'points between thousands': ('a.csv', b'a;b\n1.234;2,5\n3.750;4,5\n', dict(a=('whole', [1234, 3750]), b=('number', [2.5, 4.5]))),
    'thousands and a decimal comma': ('a.csv', b'a\n"1.234,5"\n"12,25"\n', dict(a=('number', [1234.5, 12.25]))),
    'commas between thousands': ('a.csv', b'a,b\n"1,234",x\n"12,345,678",y\n', dict(a=('whole', [1234, 12345678]), b=('text', ['x', 'y']))),
    'apostrophes between thousands': ('a.csv', b"a\n1'234.5\n12'345\n", dict(a=('number', [1234.5, 12345]))),
    'blanks between thousands': ('a.csv', 'a\n1\u202f234\n12 345\n'.encode(), dict(a=('whole', [1234, 12345]))),
    'a decimal point beside commas': ('a.csv', b'a;b\n1.5;2,5\n3.75;4,5\n', dict(a=('number', [1.5, 3.75]), b=('number', [2.5, 4.5]))),
    'money': ('a.csv', '"a",b\n"$1,200",5 %\n-$7,6 %\n€ 30,7%\n'.encode(), dict(a=('whole', [1200, -7, 30]), b=('whole', [5, 6, 7]))),
    'brackets for less than nothing': ('a.csv', b'a\n(5)\n7\n', dict(a=('whole', [-5, 7]))),
    'powers of ten': ('a.csv', b'a\n1e3\n2.5E-1\n', dict(a=('number', [1000, .25]))),
    'signs': ('a.csv', 'a\n+1\n-2\n−3\n'.encode(), dict(a=('whole', [1, -2, -3]))),
    'a minus behind': ('a.csv', b'a,b\n20.25-,5-\n7.5,12-5\n', dict(a=('number', [-20.25, 7.5]), b=('text', ['5-', '12-5']))),
    'short rows': ('a.csv', b'a,b,c\n1,2,x\n4\n5,6,y\n', dict(a=('whole', [1, 4, 5]), b=('whole', [2, nan, 6]), c=('text', ['x', nan, 'y']))),
    'infinite': ('a.csv', b'a\ninf\n-inf\n1\n', dict(a=('number', [np.inf, -np.inf, 1]))),
    'gaps': ('a.csv', b'a,b\n1,x\n,\nNaN,NaN\n3,y\n', dict(a=('whole', [1., nan, nan, 3]), b=('text', ['x', nan, nan, 'y']))),
    'dashes among numbers': ('a.csv', b'a\n1.5\n-\n?\nn/a\n2\n', dict(a=('number', [1.5, nan, nan, nan, 2]))),
    'None as a class': ('a.csv', b'a,b\n1,None\n2,NA\n3,low\n', dict(a=('whole', [1, 2, 3]), b=('text', ['None', 'NA', 'low']))),
    'a few words among many numbers': ('a.csv', b'a\n' + b'1\n' * 99 + b'many\n', dict(a=('whole', [1.]))),
    'many words among numbers': ('a.csv', b'a\n1\n2\nK1A\n', dict(a=('text', ['1', '2', 'K1A']))),
    'leading noughts': ('a.csv', b'a\n02139\n10001\n', dict(a=('text', ['02139', '10001']))),
    'long numbers': ('a.csv', b'a\n12345678901234567890\n12345678901234567891\n', dict(a=('text', ['12345678901234567890', '12345678901234567891']))),
    'underscores': ('a.csv', b'a\n2021_05\n2021_06\n', dict(a=('text', ['2021_05', '2021_06']))),
    'true and false': ('a.csv', b'a,b\nTrue,yes\nfalse,no\n', dict(a=('yes/no', [True, False]), b=('text', ['yes', 'no']))),
    'true, false and gaps': ('a.csv', b'a,b\nTRUE,1\n,1\nFALSE,2\n', dict(a=('yes/no', [True, None, False]), b=('whole', [1, 1, 2]))),
    'ISO dates': ('a.csv', b'a\n2024-01-31\n2024-02-01\n', dict(a=('date', [day(2024, 1, 31), day(2024, 2, 1)]))),
    'ISO dates with times': ('a.csv', b'a\n2024-01-31T08:30\n2024-02-01 09:00:01.5\n', dict(a=('date', [day(2024, 1, 31, 8, 30), day('2024-02-01 09:00:01.5')]))),
    'day first': ('a.csv', b'a\n01/02/2024\n31/01/2024\n', dict(a=('date', [day(2024, 2, 1), day(2024, 1, 31)]))),
    'month first': ('a.csv', b'a\n01/02/2024\n01/31/2024\n', dict(a=('date', [day(2024, 1, 2), day(2024, 1, 31)]))),
    'points are day first': ('a.csv', b'a\n1.2.2024\n3.4.2024\n', dict(a=('date', [day(2024, 2, 1), day(2024, 4, 3)]))),
    'two digits of a year': ('a.csv', b'a\n13/02/24\n01/03/99\n', dict(a=('date', [day(2024, 2, 13), day(1999, 3, 1)]))),
    'days in eight digits': ('a.csv', b'a,b\n20240131,20240131\n20240229,20249929\n20240301,20240301\n',
                             dict(a=('date', [day(2024, 1, 31), day(2024, 2, 29), day(2024, 3, 1)]), b=('whole', [20240131, 20249929, 20240301]))),
    'days in eight digits, one of them none': ('a.csv', b'a\n' + b''.join(b'202401%02d\n' % d for d in range(1, 31)) + b'20240230\n0\n',
                                               dict(a=('date', [day(2024, 1, 1)]))),
    'days in eight digits with gaps': ('a.csv', b'a,b\n20240131.0,1\n,2\n20240229.0,3\n20240301.0,4\n',
                                       dict(a=('date', [day(2024, 1, 31), nan, day(2024, 2, 29)]), b=('whole', [1, 2, 3, 4]))),
    'times in digits': ('a.csv', b'a\n20141013T083000\n20150225T000000\n', dict(a=('date', [day(2014, 10, 13, 8, 30), day(2015, 2, 25)]))),
    'months by name': ('a.csv', b'a\n3-Feb-2024\n"Mar 4, 2024"\n', dict(a=('date', [day(2024, 2, 3), day(2024, 3, 4)]))),
    'noon and midnight': ('a.csv', b'a\n1/31/2024 12:00 AM\n1/31/2024 12:30 PM\n', dict(a=('date', [day(2024, 1, 31), day(2024, 1, 31, 12, 30)]))),
    'one zone': ('a.csv', b'a\n2024-01-31T08:00+01:00\n2024-07-31T08:00+01:00\n', dict(a=('date', [day('2024-01-31T08:00+01:00'), day('2024-07-31T08:00+01:00')]))),
    'summer and winter': ('a.csv', b'a\n2024-01-31T08:00+01:00\n2024-07-31T08:00+02:00\n', dict(a=('date', [day('2024-01-31T07:00Z'), day('2024-07-31T06:00Z')]))),
    'bad dates': ('a.csv', b'a\n' + b'2024-01-31\n' * 60 + b'0000-00-00\n2024-02-30\n', dict(a=('date', [day(2024, 1, 31)]))),
    'versions': ('a.csv', b'a\n1.2.3\n2.0.14\n3.11.7\n', dict(a=('text', ['1.2.3', '2.0.14', '3.11.7']))),
    'parts': ('a.csv', b'a\n413-92-0250\n100-20-0700\n', dict(a=('text', ['413-92-0250', '100-20-0700']))),
    'addresses': ('a.csv', b'a\n10.0.0.1\n10.0.0.2\n', dict(a=('text', ['10.0.0.1', '10.0.0.2']))),
    'telephones': ('a.csv', b'a\n555-1234\n030 12 34 56\n', dict(a=('text', ['555-1234', '030 12 34 56']))),
    'day and month open': ('a.csv', b'a\n1/2/2024\n3/4/2024\n', dict(a=('text', ['1/2/2024', '3/4/2024']))),
    'empty column': ('a.csv', b'a,b\n1,\n2,\n', dict(a=('whole', [1, 2]), b=('number', [nan, nan]))),
    'a field of two million letters': ('a.csv', b'a,b\n1,' + b'x' * 2_000_000 + b'\n2,y\n', dict(a=('whole', [1, 2]), b=('text', ['x' * 2_000_000, 'y']))),
    'two thousand columns': ('a.csv', b','.join(b'f%d' % i for i in range(2000)) + b'\n' + b','.join(b'%d' % i for i in range(2000)) + b'\n',
                             dict(f7=('whole', [7]), f1999=('whole', [1999]))),
}


def same(got, wanted): return got == wanted or got is wanted or pd.isna(got) and pd.isna(wanted)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        yield


@pytest.mark.parametrize('what', files)
def test_read(what, tmp_path, monkeypatch):
    "The kind and the values of every column; and the same in pieces and row by row, with the types that a model would have saved."
    name, content, columns = files[what]
    (tmp_path/name).write_bytes(content)
    raw, held = learn_table(tmp_path/name)
    df = read_table(tmp_path/name)
    for n, (kind, values) in columns.items():
        assert held.kind(n) == kind, (n, held.columns[n])
        assert all(map(same, df[n].tolist(), values)), (n, df[n].tolist()[:9])
    if what != 'two thousand columns': assert set(df) == set(columns)
    again = from_config(to_config(held))
    whole = again.read(raw)
    parts = [again.read(part) for part in raw_table(tmp_path/name, chunk=7 if len(raw) < 1000 else 9000)]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole, check_dtype=True)
    monkeypatch.setattr('course_lib.tabular.files._quick', lambda *args: None)   # the patient reader
    assert raw_table(tmp_path/name).values.tolist() == raw.values.tolist()
    parts = [again.read(part) for part in raw_table(tmp_path/name, chunk=7 if len(raw) < 1000 else 9000)]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole, check_dtype=True)
    for i in list(range(min(4, len(raw)))) + [len(raw) - 1]:
        one = again.read(raw[i:i + 1].reset_index(drop=True))
        for n in whole: assert same(one[n].tolist()[0], whole[n].tolist()[i]), (n, i)
        assert (one.dtypes == whole.dtypes).all() or any(whole[n].isna().any() for n in whole)


@pytest.mark.parametrize('how', [dict(), dict(encoding='utf-16'), dict(encoding='cp1252'), dict(sep=';'), dict(packed=True), dict(tail=True)])
def test_short_rows_are_said(how, tmp_path, capsys):
    "A row with too few cells may be the place where a file was cut, whatever the file is written in; rows that are whole say nothing."
    sep, code = how.get('sep', ','), how.get('encoding', 'utf-8')
    end = sep if 'tail' in how else ''
    whole = ''.join(f'{i}{sep}ö{i}{sep}{i % 7}{end}\n' for i in range(400))
    for rows, said in ((whole, ''), (whole + f'7{sep}u\n', 'line 402 has 2 of 3 cells: the missing ones are read as gaps; was the file cut off?'),
                       (f'1\n2{sep}3\n' + whole, 'line 2 has 1 of 3 cells (and 1 more lines): the missing ones are read as gaps\n'), ('\n \n' + whole, '')):
        if end and said.startswith('line 2'): continue       # no first row shows that rows end in a comma
        content = (sep.join('abc') + '\n' + rows).encode(code)
        file = tmp_path/('a.csv.gz' if 'packed' in how else 'a.csv')
        file.write_bytes(gzip.compress(content) if 'packed' in how else content)
        assert len(read_table(file)) >= 400
        out = capsys.readouterr().out
        assert said in out and ('read as gaps' in out) == (said != '')


def test_count_of_files(): assert len(files) >= 60


@pytest.mark.parametrize('kind', ['parquet', 'feather'])
def test_types_of_binary_files(kind, tmp_path):
    "Dates, decimals, whole numbers with gaps, text, classes and times come as what they are; and in pieces the same."
    import datetime
    import decimal
    import pyarrow as pa
    from pyarrow import feather, parquet
    t = pa.table(dict(d=pa.array([datetime.date(2024, 1, 31), None], pa.date32()), m=pa.array([decimal.Decimal('1.50'), None], pa.decimal128(9, 2)),
                      i=pa.array([2**60, None], pa.int64()), s=pa.array(['007', None]), c=pa.array(['a', 'b']).dictionary_encode(),
                      b=pa.array([True, None]), w=pa.array([datetime.time(8, 30), None]), l=pa.array([[1], [2, 3]])))
    t = t.append_column(' n ', pa.array([1, 2]))
    file = tmp_path/f'a.{kind}'
    (parquet if kind == 'parquet' else feather).write_table(t, file) if kind == 'parquet' else feather.write_feather(t, str(file))
    raw, held = learn_table(file)
    df = held.read(raw)
    assert [held.kind(n) for n in 'dmisbn'] == ['date', 'number', 'whole', 'text', 'yes/no', 'whole'] and list(df)[-1] == 'n'
    assert df.d[0] == day(2024, 1, 31) and df.m[0] == 1.5 and df.s[0] == '007' and df.b[0] and df.w[0].startswith('08:30')
    assert df.isna().loc[1, list('dmisbw')].all() and raw.i[0] == 2**60
    parts = [held.read(p) for p in raw_table(file, chunk=1)]
    assert [same(p.m.tolist()[0], v) for p, v in zip(parts, df.m.tolist())] == [True, True]
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ['a', 'a '])
    parquet.write_table(twice, tmp_path/'twice.parquet')
    with pytest.raises(ValueError, match="twice.parquet: several columns have the same name: 'a'"): read_table(tmp_path/'twice.parquet')


refused = {
    'empty': ('a.csv', b'', 'a.csv is empty'),
    'only blanks': ('a.csv', b' \n \n', 'a.csv is empty'),
    'names twice': ('a.csv', b'a;a\n1;2\n', "the same name: 'a'"),
    'names twice but for blanks': ('a.csv', b'a,a \n1,2\n', "the same name: 'a'"),
    'cut': ('a.csv.gz', gzip.compress(b'a,b\n' + b'1,2\n' * 999)[:-20], 'cut off or damaged'),
    'flipped': ('a.csv.gz', (lambda b: b[:30] + bytes([b[30] ^ 4]) + b[31:])(gzip.compress(bytes(range(32, 127)) * 50)), 'cut off or damaged'),
    'checksum': ('a.csv.gz', (lambda b: b[:-8] + bytes([b[-8] ^ 1]) + b[-7:])(gzip.compress(b'a,b\n1,2\n')), 'cut off or damaged'),
    'Excel': ('a.csv', b'PK\x03\x04rest', 'Excel'),
    'old Excel': ('a.csv', b'\xd0\xcf\x11\xe0rest', 'Excel'),
    'Parquet by another name': ('a.csv', b'PAR1rest', 'Parquet'),
    'a picture': ('a.csv', b'\x89PNG\r\n\x1a\n', 'a picture'),
    'a page': ('a.csv', b'<html><body>Not found</body></html>', 'begins with'),
    'JSON': ('a.csv', b'{"a": 1}', 'begins with'),
    'bytes': ('a.csv', b'a,b\n1,\x00\x02\n', 'no text'),
    'long rows': ('a.csv', b'a,b\n1,2\n3,4,5\n', 'line 3 has 3 cells'),
    'a long first row': ('a.csv', b'a,b\n1,2,3\n4,5\n', 'the first row has 3 cells'),
    'an open quotation mark': ('a.csv', b'a,b\n1,"2\n3,4\n', 'quotation mark'),
    'an endless name': ('a.csv', b'a,' + b'b' * 1_000_000 + b'\n1,2\n', 'heading'),
    'no Parquet': ('a.parquet', b'PAR1', 'no parquet file'),
    'no Feather': ('a.feather', b'nothing', 'no feather file'),
    'an end of another kind': ('a.xlsx', b'a', 'should end in'),
}


@pytest.mark.parametrize('what', refused)
def test_refused(what, tmp_path):
    name, content, said = refused[what]
    (tmp_path/name).write_bytes(content)
    with pytest.raises(ValueError, match=said) as e: read_table(tmp_path/name)
    assert '\n' not in str(e.value) and name in str(e.value)


def test_options(tmp_path):
    "Every guess can be overruled."
    file = tmp_path/'a.csv'
    file.write_text('a;b\n1,234;01/02/2024\n', encoding='utf-8')
    assert read_table(file, decimal='.').a[0] == 1234 and read_table(file, decimal=',').a[0] == 1.234
    assert read_table(file, dayfirst=True).b[0] == day(2024, 2, 1) and read_table(file, dayfirst=False).b[0] == day(2024, 1, 2)
    assert read_table(file, types=dict(a='text')).a[0] == '1,234' and list(read_table(file, sep=',')) == ['a;b']
    file.write_bytes('a\nЖ\n'.encode('cp1251'))
    assert read_table(file, encoding='cp1251').a[0] == 'Ж'
    file.write_text('a,b\n1,NA\n2,x\n', encoding='utf-8')
    assert read_table(file, missing=['NA']).b.isna().tolist() == [True, False]
    for wrong in (dict(decimal='x'), dict(sep='::'), dict(encoding='no'), dict(types=dict(c='text')), dict(types=dict(b='date'))):
        with pytest.raises(ValueError): read_table(file, **wrong)


def test_types_from_frames():
    "Whatever a DataFrame keeps a column in, it is read as in training."
    held = learn_types(pd.DataFrame(dict(code=['100', 'A1'], n=[1, 2], day=pd.to_datetime(['2024-01-31', '2024-02-01']), ok=[True, False])))
    for code in ([100, 200], [100., np.nan], pd.array([100, None], 'Int64'), np.array([100, 'A1'], object), pd.Categorical(['100', 'A1'])):
        assert str(held.read(pd.DataFrame(dict(code=code))).code.tolist()[0]) == '100'
    for n in (['1', '2'], [1., 2.], pd.array([1, 2], 'Int64'), np.array([1, '2'], object)): assert held.read(pd.DataFrame(dict(n=n))).n.tolist() == [1, 2]
    for d in (['2024-01-31'], [day(2024, 1, 31)], np.array([day(2024, 1, 31).date()], object)):
        assert held.read(pd.DataFrame(dict(day=d))).day[0] == day(2024, 1, 31)
    for ok in (['TRUE'], [1], ['yes'], [True], np.array([True, None], object)): assert held.read(pd.DataFrame(dict(ok=ok))).ok.tolist()[0] is True


def test_quick_and_patient_readers_agree(tmp_path, monkeypatch):
    "Arrow reads what it can, pandas the rest; cells must not depend on which of them it was."
    from course_lib.tabular import files as module
    rng = random.Random(0)
    marks = ['a', '1', ' ', '"', '""', ',', 'é', "'", '-', '.', ';', '\t', '"x, y"', '"a\nb"', '']
    for k in range(300):
        rows = [','.join(rng.choice(marks).replace(',', '') or '' for _ in range(3)) for _ in range(5)]
        file = tmp_path/f'{k}.csv'
        file.write_text('\n'.join(['a,b,c', *rows]), encoding='utf-8')
        try: form = file_form(file, sep=',')
        except ValueError: continue
        quick = module._quick(file, form)
        if quick is None: continue
        monkeypatch.setattr(module, "_quick", lambda *args: None)
        patient = raw_table(file, form=form)
        monkeypatch.undo()
        assert quick.values.tolist() == patient.values.tolist(), (rows, quick.values.tolist(), patient.values.tolist())


bases = [files[n] for n in ('plain', 'semicolons', 'quoted newlines', 'trailing commas', 'UTF-16', 'cp1252', 'packed', 'decimal commas',
                            'money', 'gaps', 'summer and winter', 'months by name', 'row names of R')]


def mutate(rng, content):
    "A few random changes: bytes flipped, cut, doubled, moved."
    b = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        if not b: break
        i, j = sorted(rng.randrange(len(b)) for _ in range(2))
        how = rng.randrange(6)
        if how == 0: b[i] ^= 1 << rng.randrange(8)
        elif how == 1: del b[i:j]
        elif how == 2: b[i:i] = b[i:j]
        elif how == 3: b[i:i] = rng.choice([b'"', b',', b'\n', b'\r', b'\0', b';', b'\xff\xfe', b'\xef\xbb\xbf', b'1e999', b'9' * 400, b'-', b'NaN', b'"\n"'])
        elif how == 4: b = b[:j]
        else: b[i], b[j] = b[j], b[i]
    return bytes(b)


def survives(file, content):
    "Read, or refused in one line that names the file."
    file.write_bytes(content)
    try:
        raw, held = learn_table(file)
        whole = held.read(raw)
        for part in raw_table(file, chunk=3): held.read(part)
        return len(whole)
    except (ValueError, FileNotFoundError) as e:
        assert type(e) in (ValueError, FileNotFoundError), (type(e), content)
        assert file.name in str(e) and '\n' not in str(e), (str(e), content)


@pytest.mark.slow
def test_damaged_files(tmp_path):
    "400 tables with random damage: never another error than one in words."
    rng = random.Random(1)
    read = 0
    for k in range(400):
        name, content, _ = rng.choice(bases)
        if not name.endswith('.gz') and rng.random() < .2: content = gzip.compress(content)
        read += survives(tmp_path/f'{k}{name[1:]}', mutate(rng, content)) is not None
    assert 100 < read < 400


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['parquet', 'feather'])
def test_damaged_binary_files(kind, tmp_path):
    rng, df = random.Random(2), pd.DataFrame(dict(a=range(50), b=['x', 'y'] * 25, c=np.arange(50.)))
    getattr(df, f'to_{kind}')(tmp_path/f'good.{kind}')
    good = (tmp_path/f'good.{kind}').read_bytes()
    for k in range(150): survives(tmp_path/f'{k}.{kind}', mutate(rng, good))


# ---------------------------------------------------------------- the commands

def people(n=300, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n).round(3)
    return pd.DataFrame(dict(code=rng.choice(['100', '200', 'A'], n), zip=rng.choice(['02139', '10001'], n), a=a, since=pd.date_range('2021-01-13', periods=n).strftime('%d/%m/%Y'),
                             y=(3 * a + 5).round(3)))


def command(words, capsys, status=0):
    from course_lib.cli import main
    got, told = main(words if isinstance(words, list) else words.split()), capsys.readouterr()
    assert got == status and 'fault of course_lib' not in told.err, told.err
    return told.out + told.err


def test_one_answer_whole_in_pieces_and_alone(tmp_path, monkeypatch, capsys):
    "The answer for a row is that of training's types, whatever else is in its file, and however that is written."
    from course_lib.apps.table import predict_rows
    monkeypatch.chdir(tmp_path)
    df = people()
    df.to_csv('a.csv', index=False, sep=';', decimal=',')
    command('train table a.csv --target y --epochs 2 --no-boosting --out o', capsys)
    later = df.sample(8, random_state=1).drop(columns='y')
    later.to_csv('n.csv', index=False, sep=';', decimal=',')
    whole = predict_rows('o/model.pkl', 'n.csv').y.tolist()
    assert predict_rows('o/model.pkl', 'n.csv', 'p.csv', chunk=3).shape == (3, 1)
    assert np.allclose(pd.read_csv('p.csv').y, whole, atol=1e-5)
    later.to_csv('other.csv', index=False, encoding='utf-16', sep='\t')   # decimal points now, and said
    capsys.readouterr()
    assert np.allclose(predict_rows('o/model.pkl', 'other.csv').y, whole, atol=1e-5)
    assert 'unlike in training' in capsys.readouterr().out
    for i in range(8):
        later[i:i + 1].to_csv('one.csv', index=False, sep=';', decimal=',')
        assert abs(predict_rows('o/model.pkl', 'one.csv').y[0] - whole[i]) < 1e-5, later[i:i + 1]


def test_kept_columns_are_copied(tmp_path, monkeypatch, capsys):
    "Noughts, long numbers, decimals, dates, the target: letter by letter; and an answer of the same name gets another."
    import decimal
    import pyarrow as pa
    from pyarrow import parquet
    monkeypatch.chdir(tmp_path)
    df = people(60).assign(id=[f'{i:05}' for i in range(60)], key=[str(10**18 + i) for i in range(60)], x=[f'{i}X ' for i in range(60)], paid='1.50')
    df.to_csv('a.csv', index=False)
    command('train table a.csv --target y --drop id,key,x,paid --epochs 1 --no-boosting --out o', capsys)
    told = command('predict o/model.pkl a.csv --keep id,key,x,paid,y,id --out p.csv', capsys)
    assert 'the answer is called y_predicted' in told
    lines = (tmp_path/'p.csv').read_text(encoding='utf-8').split('\n')
    assert lines[0] == 'id,key,x,paid,y,y_predicted' and lines[2].startswith(f'00001,{10**18 + 1},1X ,1.50,{df.y[1]},')
    t = pa.Table.from_pandas(df.drop(columns=['id', 'key', 'x', 'paid'])).append_column('m', pa.array([decimal.Decimal('1.50')] * 60, pa.decimal128(9, 2)))
    t = t.append_column('k', pa.array([None, *range(2**60, 2**60 + 59)], pa.int64())).append_column('d', pa.array([pd.Timestamp('2024-01-31').date()] * 60))
    parquet.write_table(t, 'a.parquet')
    command('predict o/model.pkl a.parquet --keep m,k,d,y --out p.csv', capsys)
    assert (tmp_path/'p.csv').read_text(encoding='utf-8').split('\n')[2].startswith(f'1.50,{2**60},2024-01-31,')
    command('predict o/model.pkl a.parquet --keep m,k,d,y --out p.parquet', capsys)
    assert parquet.read_table('p.parquet').schema.field('m').type == t.schema.field('m').type and parquet.read_table('p.parquet')['k'][1].as_py() == 2**60


@pytest.mark.parametrize('target', ['yes', 'price', 'pay', 'kind'])
def test_target_in_the_new_rows(target, tmp_path, monkeypatch, capsys):
    "It is not needed, so it cannot be wrong."
    monkeypatch.chdir(tmp_path)
    a = np.random.default_rng(0).normal(size=120)
    df = pd.DataFrame(dict(a=a, yes=a > 0, price=[f'${v:,.0f}' for v in 5000 + 900 * a], pay=np.where(a > 0, '>50K', '<=50K'), kind=(a * 2).round().astype(int) % 3))[['a', target]]
    df.to_csv('a.csv', index=False)
    command(f'train table a.csv --target {target} --epochs 1 --no-boosting --out o', capsys)
    for new in (df, df.assign(**{target: '?'}), df.assign(**{target: df[target].astype(str) + '.'}), df.assign(**{target: np.nan}), df[['a']]):
        new.to_csv('n.csv', index=False)
        assert '120 rows' in command('predict o/model.pkl n.csv', capsys)


columns = {   # columns of a file -> (user, item, rating)
    'User-ID ISBN Book-Rating': ('User-ID', 'ISBN', 'Book-Rating'),
    'uid iid stars': ('uid', 'iid', 'stars'),
    'user_id sku product_rating': ('user_id', 'sku', 'product_rating'),
    'userId movieId rating timestamp': ('userId', 'movieId', 'rating'),
    'rating title movie_id customer': ('customer', 'movie_id', 'rating'),
    'reviewerID asin reviewerName overall unixReviewTime': ('reviewerID', 'asin', 'overall'),
    'CustId Rating Date MovieId': ('CustId', 'MovieId', 'Rating'),
    'order_id user_id product_id order_item_value': ('user_id', 'product_id', 'order_item_value'),
    'user_id business_id stars useful': ('user_id', 'business_id', 'stars'),
    'u i r': ('u', 'i', 'r'),
}


@pytest.mark.parametrize('names', columns)
def test_columns_of_ratings(names):
    from course_lib.apps.ratings import rating_columns
    rng = np.random.default_rng(0)
    df = pd.DataFrame({n: rng.integers(1, 6, 60) for n in names.split()})
    assert rating_columns(df) == columns[names]
    assert rating_columns(df.reset_index(names='Unnamed: 0')) == columns[names]


logs = {
    'InvoiceNo StockCode Description Quantity InvoiceDate UnitPrice CustomerID': ('CustomerID', 'StockCode', 'InvoiceDate'),
    'user item timestamp': ('user', 'item', 'timestamp'),
    'order_id order_date client_name product_name product_code': ('client_name', 'product_code', 'order_date'),
    'when who what': ('who', 'what', 'when'),
}


@pytest.mark.parametrize('names', logs)
def test_columns_of_logs(names):
    from course_lib.apps.bought import log_columns
    df = pd.DataFrame({n: np.random.default_rng(0).integers(1, 9, 60) for n in names.split()})
    assert log_columns(df) == logs[names]


def test_rows_of_a_group_stay_together():
    from course_lib.tabular.prepare import split_rows
    df = pd.DataFrame(dict(who=np.repeat(np.arange(50), 6), when=pd.date_range('2024-01-01', periods=300), y=np.tile(list('abc'), 100)))
    df = df.sample(frac=1, random_state=0)
    for how in (dict(), dict(seed=3), dict(by='when'), dict(classes='y')):
        train, valid = split_rows(df, groups='who', **how)
        assert not set(df.who.iloc[train]) & set(df.who.iloc[valid]) and len(train) + len(valid) == 300 and 50 <= len(valid) <= 70
    with pytest.raises(ValueError, match="groups: 'who' has one value only"): split_rows(df.assign(who=1), groups='who')


def test_notes_of_before():
    "What was saved before there were types is read as it was."
    from course_lib.tabular.prepare import Preparation
    old = from_config({'$new': 'Preparation', 'args': dict(cat=['c'], cont=['n'], dates=[], numbers=['n'], words=['c'], dropped={'$dict': []}, logs=[])})
    assert old.types is None
    out = old(pd.DataFrame(dict(n=['1,200', '$5'], c=[1, 'x'])))
    assert out.n.tolist() == [1200, 5] and out.c.tolist() == ['1', 'x'] and type(old) is Preparation


@pytest.mark.slow
def test_damaged_rows_for_a_model(tmp_path, monkeypatch, capsys):
    "300 damaged files for models of a table, of ratings and of a log: answers for the rows that can be read, or one line."
    from course_lib.apps.table import predict_rows
    monkeypatch.chdir(tmp_path)
    rng, df = random.Random(3), people(60)
    df.to_csv('a.csv', index=False)
    u, i = (a.ravel() for a in np.meshgrid(range(20), range(15)))
    pairs = pd.DataFrame(dict(user=u, item=[f'{v:03}' for v in i], rating=(u * 7 + i * 3) % 5 + 1)).sample(130, random_state=0)
    pairs.to_csv('r.csv', index=False)
    command('train table a.csv --target y --epochs 1 --no-boosting --out table', capsys)
    command('train ratings r.csv --epochs 1 --n-factors 2 --out ratings', capsys)
    command('train bought r.csv --epochs 1 --n-factors 2 --out bought', capsys)
    good = dict(table=df[:20].to_csv(index=False).encode(), ratings=pairs[:20].to_csv(index=False).encode(), bought=pairs[:20].to_csv(index=False, sep=';').encode('utf-16'))
    answered = 0
    for k in range(300):
        which = rng.choice(list(good))
        (tmp_path/f'{k}.csv').write_bytes(mutate(rng, good[which]))
        try: answered += len(predict_rows(f'{which}/model.pkl', f'{k}.csv', 'p.csv', keep='')) > 0
        except (ValueError, FileNotFoundError) as e: assert type(e) in (ValueError, FileNotFoundError) and '\n' not in str(e), e
    assert 50 < answered < 300


@pytest.mark.slow
def test_damaged_files_for_training(tmp_path, monkeypatch, capsys):
    "60 damaged files to train on, each by one of three commands: never a fault of ours."
    monkeypatch.chdir(tmp_path)
    rng, df = random.Random(4), people(60).assign(user=lambda d: d.a.rank().astype(int) % 9, item=lambda d: d.index % 7, rating=lambda d: d.index % 5)
    good = df.to_csv(index=False).encode()
    for k in range(60):
        (tmp_path/f'{k}.csv').write_bytes(mutate(rng, good))
        words = rng.choice(['table {} --target y --no-boosting', 'ratings {} --n-factors 2', 'bought {} --n-factors 2']).format(f'{k}.csv')
        from course_lib.cli import main
        status, err = main(f'train {words} --epochs 1 --out o'.split()), capsys.readouterr().err
        assert status in (0, 2) and 'fault of course_lib' not in err, (words, err)
