"""Reading anybody's table: columns by name or map, and every way to be wrong named."""

import pytest

from fairfight.errors import TableError
from fairfight.verdict.tables.read import read_clusters, read_tables
from fairfight.verdict.tables.readers.long import Layout, read


@pytest.fixture
def table(tmp_path):
    """Give the table that a text holds."""

    def make(text, layout=Layout()):  # noqa: B008
        file = tmp_path / "scores.csv"
        file.write_text(text)
        return read(file, layout)

    return make


GOOD = "task,method,side,score\na,sae,dictionary,0.9\na,probe,baseline,0.8\n"


def test_columns_are_found_by_their_names(table):
    found = table(GOOD)
    assert (found.tasks, [method.name for method in found.methods]) == (("a",), ["sae", "probe"])
    assert found.validation is None
    assert not found.are_clusters_known


def test_columns_are_mapped_and_joined(table):
    text = "dataset,model,k,test_auc,kind\na,sae,16,0.9,x\na,sae,128,0.8,x\n"
    found = table(text, Layout({"method": "model+k"}, {"dictionary": ["sae *"]}))
    assert [(method.name, method.side) for method in found.methods] == [
        ("sae 16", "dictionary"),
        ("sae 128", "dictionary"),
    ]


@pytest.mark.parametrize(
    ("text", "layout", "words"),
    [
        ("task,method,scor\na,b,0.5\n", Layout(), "no column for the score.*Did you mean 'scor'"),
        (GOOD, Layout({"score": "auc"}), "no column 'auc'"),
        ("task,method,scores\na,b,0.5\n", Layout(), "Did you mean 'scores'.*--map score=scores"),
        (GOOD, Layout({"score": "scorre"}), "no column 'scorre'.*Did you mean 'score'.*--map score=score"),
        (
            GOOD.replace(",", ";"),
            Layout(),
            "semicolons, but commas were expected. Save it with commas; --map cannot help",
        ),
        (GOOD.replace(",", "\t"), Layout(), "tabs, but commas were expected. Save it with commas; --map cannot help"),
        ("task,method,score,score\na,b,0.5,0.6\n", Layout(), "two columns 'score'"),
        (
            GOOD.replace("a,sae", "a\x1b[2J,sae"),
            Layout(),
            r"line 2: the task 'a\\x1b\[2J' holds the control character U\+001B",
        ),
        (GOOD.replace("a,sae", "a,s\u202eae"), Layout(), r"line 2: the method .* control character U\+202E"),
        (GOOD.replace("a,sae", "a,s\x9bae"), Layout(), r"control character U\+009B"),
        (GOOD.replace("a,sae", "a,s\u2066ae"), Layout(), r"control character U\+2066"),
        (GOOD, Layout({"skore": "score"}), "--map skore=.*Did you mean 'score'"),
        (GOOD.replace("0.9", "1.9"), Layout(), "line 2: the score is 1.9, but AUROC lies between 0 and 1"),
        (GOOD.replace("0.9", "-0.1"), Layout(), "line 2: the score is -0.1"),
        (GOOD.replace("0.9", "nan"), Layout(), "line 2: the score is NaN, which no mean may swallow"),
        (GOOD.replace("0.9", "good"), Layout(), "line 2: the score is 'good', which is no number"),
        (GOOD.replace("0.9", ""), Layout(), "line 2: the score is empty"),
        (GOOD.replace("a,sae", ",sae"), Layout(), "line 2: the task is empty"),
        (
            GOOD + "b,sae,baseline,0.7\n",
            Layout(),
            "line 4: sae stands on the side 'baseline', but on 'dictionary' above",
        ),
        (GOOD.replace("dictionary", "ours"), Layout(), "line 2: the side is 'ours'; expected dictionary"),
        (GOOD + "b,sae\n", Layout(), "line 4: 2 cells, but the header has 4"),
        ("", Layout(), "no column for the task, the method, the score"),
        ("task,method,score\n", Layout(), "holds no score"),
        (
            "task,method,side,score,metric\na,sae,dictionary,0.9,auroc\na,probe,baseline,0.8,f1\n",
            Layout(),
            "line 3: the metric is 'f1', but 'auroc' above. Scores of two metrics are two tables",
        ),
        (GOOD, Layout(metric="aroc"), "no metric 'aroc'.*Did you mean 'auroc'"),
        (
            "task,method,side,score,cluster\na,sae,dictionary,0.9,x\na,probe,baseline,0.8,y\n",
            Layout(),
            "task 'a' is of cluster 'y', but of 'x' above",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(table, text, layout, words):
    with pytest.raises(TableError, match=words):
        table(text, layout)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    file = tmp_path / "scores.csv"
    file.write_bytes(b"task,method,score\n\xff\xfe,b,0.5\n")
    with pytest.raises(TableError, match="UTF-8"):
        read(file, Layout())


def test_a_rating_has_its_own_range(table):
    assert table(GOOD.replace("0.9", "1.9"), Layout(metric="rating")).metric.high == 2.0


def test_a_column_that_is_mapped_is_not_taken_for_its_name_again(table):
    text = "task,method,side,score,metric\na,sae,dictionary,0.9,auroc\na,sae,dictionary,0.8,f1\n"
    assert table(text, Layout({"condition": "metric"})).conditions == ("auroc", "f1")


SIDED = (
    "task,method,side,score\na,sae,dictionary,0.9\na,sae-2,dictionary,0.9\na,means,rival,0.8\na,probe,baseline,0.8\n"
)


def _sides(found):
    return {method.name: method.side for method in found.methods}


def test_a_pattern_decides_for_the_methods_that_it_matches_alone(table):
    found = _sides(table(SIDED, Layout(patterns={"control": ["sae-*"]})))
    assert found == {"sae": "dictionary", "sae-2": "control", "means": "rival", "probe": "baseline"}


def test_a_side_is_still_checked_where_no_pattern_speaks(table):
    with pytest.raises(TableError, match="means stands on the side 'baseline', but on 'rival' above"):
        table(SIDED + "b,means,baseline,0.8\n", Layout(patterns={"control": ["sae-*"]}))
    found = table(SIDED + "b,sae-2,anything,0.8\n", Layout(patterns={"control": ["sae-*"]}))
    assert _sides(found)["sae-2"] == "control"


def test_a_method_of_two_sides_by_patterns_is_refused(table):
    with pytest.raises(
        TableError, match=r"sae-2 matches 'sae\*' of the dictionary side and '\*-2' of the control side"
    ):
        table(SIDED, Layout(patterns={"dictionary": ["sae*"], "control": ["*-2"]}))


def test_tables_separated_by_tabs_are_told_what_to_do(tmp_path):
    file = tmp_path / "scores.tsv"
    file.write_text(GOOD.replace(",", "\t"))
    with pytest.raises(TableError, match=r"scores.tsv separates its columns by tabs.*Save it with commas"):
        read_tables(file, Layout())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"a": ["b"]}', "the cluster of 'a' is no name"),
        ("[]", "no JSON object of tasks"),
        ("{", "cannot be read as JSON"),
    ],
)
def test_clusters_that_are_none_are_refused(tmp_path, text, words):
    file = tmp_path / "clusters.json"
    file.write_text(text)
    with pytest.raises(TableError, match=words):
        read_clusters(file)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00\x00", b"dataset,sae_id,k,test_auc,val_auc\n\xff,a,1,1,1\n", bytes(range(256))]
)
def test_a_second_file_that_is_no_text_is_refused(tmp_path, content):
    (tmp_path / "standard_baselines.csv").write_text("dataset,method,test_auc,val_auc\na,logreg,0.9,0.8\n")
    (tmp_path / "standard_saes.csv").write_bytes(content)
    with pytest.raises(TableError, match=r"standard_saes.csv, line .*Save it as UTF-8 CSV"):
        read_tables(tmp_path / "standard_baselines.csv", Layout())
