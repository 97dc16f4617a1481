import gzip
import json

import numpy as np
import pytest

from tiny_dancer.errors import InvalidArgumentError, MissingFileError
from tiny_dancer.evaluation.benchmark_file import read_benchmark


def write(path, rows):
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    return path


def test_pairs_with_subjects_gzipped(tmp_path):
    rows = [
        {"prompt": "one\u2028two", "weak": 0, "strong": 1, "subject": "law"},
        {"prompt": "one\u2028two", "weak": 1, "strong": 1, "subject": "law"},
    ]
    path = tmp_path / "pairs.jsonl.gz"
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_bytes(gzip.compress(text.encode()))
    found = read_benchmark(path)
    assert found.agents == ["strong", "weak"]
    assert found.quality.tolist() == [[1.0, 0.0], [1.0, 1.0]]
    assert found.groups == ["law", "law"]
    assert found.costs is None


def test_scores_that_lack_an_agent(tmp_path):
    rows = [{"prompt": "p", "scores": {"a": 0.5, "b": 1}}, {"prompt": "q", "scores": {"b": 0}}]
    found = read_benchmark(write(tmp_path / "scores.jsonl", rows))
    assert found.agents == ["a", "b"]
    assert found.mask.tolist() == [[True, True], [False, True]]


def test_outcomes_are_gathered_by_request(tmp_path):
    rows = [
        {"request": "p", "agent": "a", "quality": 1.0, "cost": 0.5},
        {"request": "q", "agent": "b", "quality": 0.0},
        {"request": "p", "agent": "a", "quality": 0.0, "cost": 1.5},
    ]
    found = read_benchmark(write(tmp_path / "outcomes.jsonl", rows))
    assert found.prompts == ["p", "q"]
    assert found.quality.tolist() == [[0.5, 0.0], [0.0, 0.0]]
    np.testing.assert_array_equal(found.costs, [[1.0, np.nan], [np.nan, np.nan]])


def test_wide_csv_with_costs(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text(
        "sample_id,prompt,eval_name,small,large,small|total_cost,large|model_response\n"
        'x1,"a, b",maths,True,0.5,0.001,long text\n'
    )
    found = read_benchmark(path)
    assert found.agents == ["large", "small"]
    assert found.quality.tolist() == [[0.5, 1.0]]
    assert found.groups == ["maths"]
    np.testing.assert_array_equal(found.costs, [[np.nan, 0.001]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rows"),
        ('{"prompt": "p", "weak": 2, "strong": 1}', "quality 2.0"),
        ('{"text": "p"}', "no known form"),
        ('{"prompt": "p", "weak": "often", "strong": 1}\n{"prompt"', "line 2"),
        ('{"prompt": "p"}', "names no agent"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, text, message):
    path = tmp_path / "wrong.jsonl"
    path.write_text(text)
    with pytest.raises(InvalidArgumentError, match=message):
        read_benchmark(path)


def test_an_array_does_for_lines(tmp_path):
    rows = [{"prompt": "p", "weak": 0, "strong": 1}, {"prompt": "q", "weak": 1, "strong": 1}]
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps(rows, indent=1))
    assert read_benchmark(path).quality.tolist() == [[1.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"prompt": "p", "weak": 0, "strong": 1}\n{"weak": 0, "strong": 1}', "row 2 .* no prompt"),
        ('{"prompt": "p", "scores": {"a": 1}}\n{"prompt": "p"}', "row 2 .* no scores"),
        ('{"prompt": "p", "scores": {"a": 1}}\n{"prompt": "p", "scores": 3}', "row 2 .* no scores"),
        ('{"request": "p", "agent": "a", "quality": 1}\n{"agent": "a"}', "row 2 .* no request"),
        ('{"request": "p", "agent": "a", "quality": 1}\n{"request": "q"}', "row 2 .* no agent"),
        ('{"prompt": "p", "a": {"b": 1}, "c": 1}', "no number"),
        ("[1, 2]", "element 1"),
        ('[{"prompt": "p"', "no JSON"),
    ],
)
def test_rows_that_lack_something_are_named(tmp_path, text, message):
    path = tmp_path / "rows"
    path.write_text(text)
    with pytest.raises(InvalidArgumentError, match=message):
        read_benchmark(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(MissingFileError, match=r"nothing\.csv"):
        read_benchmark(tmp_path / "nothing.csv")


def test_rows_of_agents_without_a_quality_are_refused(tmp_path):
    path = tmp_path / "unjudged.csv"
    path.write_text("request,agent\np,a\nq,a\n")
    with pytest.raises(InvalidArgumentError, match=r"unjudged\.csv has no quality for a"):
        read_benchmark(path)


def test_an_agent_that_was_never_judged_is_named(tmp_path):
    rows = [{"prompt": "p", "weak": None, "strong": 1}, {"prompt": "q", "strong": 0}]
    with pytest.raises(InvalidArgumentError, match="has no quality for weak"):
        read_benchmark(write(tmp_path / "pairs.jsonl", rows))


def test_a_prompt_in_csv_may_be_long(tmp_path):
    path = tmp_path / "long.csv"
    path.write_text(f"prompt,a\n{'word ' * 40_000},1\n")
    assert len(read_benchmark(path).prompts[0]) == 200_000


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("wide.csv", "prompt,a\np,1\nq,1,0\n", "row 2 of wide.csv has more cells than columns"),
        ("twice.csv", "prompt,a,a\np,1,0\n", "twice.csv has two columns 'a'"),
        ("deep.json", "[" * 100_000, "deep.json is no JSON"),
        ("half.jsonl", '{"prompt": "\\ud800", "a": 1}', "row 1 of half.jsonl has a prompt that"),
    ],
)
def test_what_is_no_table_of_texts_is_named(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InvalidArgumentError, match=message):
        read_benchmark(path)
