import gzip
import json

import pytest

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.evaluation.route_file import read_labelled_requests


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_lists_by_split(tmp_path):
    content = {
        "train": [["move money", "transfer"], ["freeze it", "freeze"]],
        "oos_train": [["sing", "oos"]],
        "val": [["send money", "transfer"]],
        "test": [["block the card", "freeze"]],
        "oos_test": [["dance", "oos"]],
    }
    path = write(tmp_path, "data_full.json", json.dumps(content, indent=2))
    found = read_labelled_requests(path)
    assert found.texts[:3] == ["move money", "freeze it", "sing"]
    assert found.routes == ["transfer", "freeze", None, "transfer", "freeze", None]
    assert found.learned_and_judged() == ([0, 1, 2], [3, 4, 5])
    only = read_labelled_requests(path, "test")
    assert only.texts[3:] == ["block the card", "dance"]


def test_rows_of_csv_and_json_lines(tmp_path):
    csv = write(tmp_path, "train.csv", 'text,category\n"where, then?",arrival\nlost it,lost\n')
    found = read_labelled_requests(csv)
    assert (found.texts, found.routes) == (["where, then?", "lost it"], ["arrival", "lost"])
    assert found.splits is None
    assert found.learned_and_judged() is None
    lines = tmp_path / "rows.jsonl.gz"
    rows = [
        {"request": "a", "route_name": "x", "split": "train"},
        {"request": "b", "route_name": None, "split": "train"},
        {"request": "c", "route_name": "", "split": "val"},
    ]
    lines.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    found = read_labelled_requests(lines)
    assert found.routes == ["x", None, None]
    assert found.learned_and_judged() == ([0, 1], [2])


def test_training_rows_alone_say_nothing_of_what_to_judge_by(tmp_path):
    path = write(tmp_path, "t.csv", "text,label,split\na,x,train\nb,y,train\n")
    assert read_labelled_requests(path).learned_and_judged() is None


@pytest.mark.parametrize(
    "text",
    ["prompt,weak,strong\na,1,0\n", '{"prompt": "a", "scores": {"b": 1}}\n', "", "text\na\n",
     '{"prompt": "a", "weak": 1, "strong": 0}\n{"prompt": "b", "weak": 1, "strong": 0}\n'],
)  # fmt: skip
def test_other_files_are_left_to_others(tmp_path, text):
    assert read_labelled_requests(write(tmp_path, "f", text)) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text,label\n ,x\n", "row 1 .* has no text"),
        ("text,label\na,\nb,oos\n", "no row of .* names a route"),
        ('{"train": [["a", "x", "y"]]}', "no pair"),
        ('{"train": [["a", 3]]}', "no pair"),
        ('{"train": ["a"]}', "no pair"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, text, message):
    with pytest.raises(InvalidArgumentError, match=message):
        read_labelled_requests(write(tmp_path, "f", text))


def test_a_split_that_is_not_there(tmp_path):
    path = write(tmp_path, "t.csv", "text,label,split\na,x,train\nb,y,val\n")
    with pytest.raises(InvalidArgumentError, match="'test'"):
        read_labelled_requests(path, "test")


def test_damaged_archives_are_no_text(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "a", "label": "x"}' * 50)[:-20])
    with pytest.raises(InvalidArgumentError, match="is no text"):
        read_labelled_requests(path)


def test_a_text_that_is_no_unicode_is_named(tmp_path):
    path = tmp_path / "half.jsonl"
    path.write_text('{"text": "a", "label": "b"}\n{"text": "\\udfff", "label": "b"}\n')
    with pytest.raises(InvalidArgumentError, match="row 2 of half"):
        read_labelled_requests(path)
