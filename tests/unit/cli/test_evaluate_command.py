import json
import struct
import sys

import numpy as np
import pytest

from tiny_dancer.cli import evaluate_history
from tiny_dancer.cli.__main__ import main
from tiny_dancer.embedding import model_folder, provider
from tiny_dancer.embedding.hashing import HashingProvider
from tiny_dancer.lexical_features import EARLIER_COUNTS, lexical_features


@pytest.fixture(autouse=True)
def hashed_words(monkeypatch):
    monkeypatch.setattr(model_folder, "find_model", lambda directory, name: directory / name)
    monkeypatch.setattr(provider, "open_provider", lambda folder: HashingProvider())


def rows(count=60):
    generator = np.random.default_rng(0)
    for number in range(count):
        poem = bool(generator.random() < 0.5)
        words = generator.choice(("poem", "song") if poem else ("sum", "count"), 4)
        weak, strong = generator.random(2) < ((0.1, 0.9) if poem else (0.8, 0.8))
        yield {
            "prompt": f"{' '.join(words)} {number}",
            "weak": bool(weak),
            "strong": bool(strong),
        }


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


def evaluate(*arguments):
    options = ["--predictor", "ridge", "--seeds", "1", "--folds", "2", "--models-dir", "models"]
    return main(["evaluate", *map(str, arguments), *options])


def test_a_file_of_pairs_gives_table_and_page(pairs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "tiny_dancer.evaluation.drawing.Drawing.write_png", lambda drawing, path: None
    )
    assert evaluate(pairs, "--picture", tmp_path / "pictures") == 0
    printed = capsys.readouterr().out
    for name in ("random", "prompt length", "best single", "ridge", "oracle", "APGR", "AIQ"):
        assert name in printed
    page = (tmp_path / "pictures" / "cost-quality.html").read_text()
    assert "share of requests sent to strong" in page


def test_without_matplotlib_the_page_is_written_and_the_png_is_missed_aloud(
    pairs, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert evaluate(pairs, "--picture", tmp_path / "pictures") == 0
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["cost-quality.html"]
    said = capsys.readouterr().err
    assert "no PNG is written" in said
    assert "tiny-dancer[evaluation]" in said


def test_drawings_of_few_requests_in_which_two_agents_are_as_good_are_left_out(tmp_path, capsys):
    path = tmp_path / "few.jsonl"
    qualities = [(1, 0), (0, 1), (1, 1), (0, 1), (0, 0), (1, 0), (0, 1), (1, 1)]
    path.write_text(
        "".join(
            json.dumps({"prompt": f"p {n}", "weak": weak, "strong": strong}) + "\n"
            for n, (weak, strong) in enumerate(qualities)
        )
    )
    assert evaluate(path) == 0
    assert "APGR" in capsys.readouterr().out.split("In brackets")[0]
    path.write_text(
        "".join(
            json.dumps({"prompt": f"p {n}", "weak": n % 2, "strong": n % 2}) + "\n"
            for n in range(8)
        )
    )
    assert evaluate(path) == 0
    assert "APGR" not in capsys.readouterr().out.split("In brackets")[0]


def labelled(count=40):
    generator = np.random.default_rng(0)
    of = {"refund": ("money", "back", "refund"), "password": ("login", "password", "forgot")}
    of[""] = ("river", "song", "weather")
    for route, words in of.items():
        for number in range(count):
            yield f"{' '.join(generator.choice(words, 4))} {number}", route


def test_a_file_of_routes_is_judged_before_and_after_a_fit(tmp_path, capsys):
    path = tmp_path / "routes.csv"
    path.write_text("text,label\n" + "".join(f"{t},{r}\n" for t, r in labelled()))
    options = ["--seeds", "1", "--folds", "2", "--models-dir", "models"]
    assert main(["evaluate", str(path), *options]) == 0
    printed = capsys.readouterr().out
    assert "120 requests, 2 routes, 40 out of scope; seeds: 1, parts: 2" in printed
    for name in ("most frequent route", "nearest utterances", "fitted", "AUROC", "recall"):
        assert name in printed
    assert main(["evaluate", str(path), "--picture", str(tmp_path), *options]) == 1
    assert "--picture means nothing for a file of requests and routes" in capsys.readouterr().err


def test_a_split_of_a_file_of_routes(tmp_path, capsys):
    pairs = [list(row) for row in labelled()]
    splits = {"train": pairs[::2], "val": pairs[1::4], "test": pairs[3::4]}
    path = tmp_path / "routes.json"
    path.write_text(json.dumps(splits, indent=1))
    options = ["--seeds", "1", "--models-dir", "models"]
    assert main(["evaluate", str(path), "--split", "test", *options]) == 0
    assert "60 to learn from, 30 to be judged by" in capsys.readouterr().out


def test_splits_mean_nothing_for_agents(pairs, capsys):
    assert evaluate(pairs, "--split", "test") == 1
    assert "--split means nothing" in capsys.readouterr().err


def test_several_agents_need_prices_for_a_picture(tmp_path, capsys):
    path = tmp_path / "three.jsonl"
    qualities = np.random.default_rng(1).random((40, 3)).round(2).tolist()
    path.write_text(
        "".join(
            json.dumps({"prompt": f"p {n}", "scores": dict(zip("abc", q, strict=True))}) + "\n"
            for n, q in enumerate(qualities)
        )
    )
    assert evaluate(path, "--picture", tmp_path) == 1
    said = capsys.readouterr()
    assert "without costs" in said.err
    assert "accuracy %" in said.out
    assert "APGR" not in said.out.split("In brackets")[0]
    assert evaluate(path, "--pair", "a", "b") == 0
    assert "APGR" in capsys.readouterr().out.split("In brackets")[0]


@pytest.mark.parametrize("folder", ["pairs.jsonl", "pairs.jsonl/pictures"])
def test_a_folder_that_can_not_be_made_is_refused_before_anything_is_learned(pairs, folder, capsys):
    assert evaluate(pairs, "--picture", pairs.parent / folder) == 1
    printed = capsys.readouterr()
    assert "cannot be written to" in printed.err
    assert "accuracy" not in printed.out


@pytest.mark.parametrize("tokens", ["-1", "nan", "inf"])
def test_an_answer_has_a_number_of_tokens(pairs, tokens, capsys):
    assert evaluate(pairs, "--output-tokens", tokens) == 1
    assert "--output-tokens must be a number from 0 on" in capsys.readouterr().err


def test_a_blank_request_is_named(tmp_path, capsys):
    path = tmp_path / "blank.jsonl"
    path.write_text(
        "".join(f'{{"prompt": "{text}", "weak": 0, "strong": 1}}\n' for text in ("a", " ", "b"))
    )
    assert evaluate(path) == 1
    assert "row 2 of blank.jsonl has an empty prompt" in capsys.readouterr().err


def test_wrong_names_are_refused_before_anything_is_embedded(pairs, capsys):
    assert main(["evaluate", str(pairs), "--predictor", "forest"]) == 1
    assert "'forest'" in capsys.readouterr().err
    assert evaluate(pairs, "--pair", "weak", "nobody") == 1
    assert "--pair must name two of strong, weak" in capsys.readouterr().err


@pytest.mark.parametrize(("earlier", "left_out"), [(0, 1), (5, 6), (10_000, 1)])
def test_history_of_single_choices_is_judged_by_what_was_foreseen(
    earlier, left_out, capsys, monkeypatch
):
    def recorded(url, query, parameters):
        provider = HashingProvider()
        for number, row in enumerate(rows()):
            agent = "weak" if number % 2 else "strong"
            vector = provider.embed(row["prompt"])
            sent = struct.pack(">HH", len(vector), 0) + vector.astype(">f2").tobytes()
            features = lexical_features(row["prompt"]).tolist()
            if number < earlier:
                features = features[: EARLIER_COUNTS[0]]
            yield agent, float(row[agent]), 0.01, sent, features
        yield "weak", 1.0, 0.01, None, None

    monkeypatch.setattr(evaluate_history, "fetch_all", lambda *given: list(recorded(*given)))
    assert evaluate("--url", "postgresql:///mine") == 0
    printed = capsys.readouterr().out
    assert f"{left_out} recorded outcomes without the vector" in printed
    assert "No request was tried with every agent" in printed
    assert "Brier" in printed


@pytest.mark.parametrize("option", [("--requests", "5"), ("--prices", "prices.json")])
def test_what_means_nothing_for_a_database_is_refused(option, capsys):
    assert evaluate("--url", "postgresql:///mine", *option) == 1
    assert f"{option[0]} means nothing for --url" in capsys.readouterr().err


def test_no_history(capsys, monkeypatch):
    monkeypatch.setattr(evaluate_history, "fetch_all", lambda *given: [])
    assert evaluate("--url", "postgresql:///mine") == 1
    assert "no outcome is recorded" in capsys.readouterr().err
